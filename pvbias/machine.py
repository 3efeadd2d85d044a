"""Process-wide settings for this machine: threads, allocator, GPU number formats."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from .hardware import available_cores

#: mallopt's parameters, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
#: What glibc starts with: at most so many blocks of so many bytes or more come from the system one by one.
_MMAP_MAX, _MMAP_THRESHOLD = 65536, 128 << 10

#: Whether glibc keeps freed memory in this process, for the record; and whether it does not for the moment.
_keeps_memory = _gives_back = False


def prepare_process(processes: int = 1) -> None:
    """Apply the process-wide settings; call once, early.

    - torch's threads: this process's share of the cores, unless ``OMP_NUM_THREADS`` says otherwise;
    - glibc keeps the memory of freed activations instead of faulting it in again on every step;
    - fp32 means fp32 on GPUs: no TF32 (unless ``PRECISION`` asks for it), so that scores compare between machines.

    OpenMP's wait policy is not among them, because OpenMP reads it when torch is loaded: ``OMP_WAIT_POLICY=PASSIVE``
    has to be in the environment before. Threads that spin while they wait take the cores from decoding.

    Args:
        processes: of this run on this machine, >= 1.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // processes))
    _keep_memory()
    _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    for owner, name in _tf32_switches():
        setattr(owner, name, allowed if name == "allow_tf32" else {True: "tf32", False: "ieee"}[allowed])


def _tf32_switches() -> list[tuple[Any, str]]:
    """(object, attribute) of torch's switches: those of all versions, and from 2.9 on those that then decide. With the
    former alone, convolutions would follow ``torch.backends.fp32_precision``; after the latter alone, the former cannot
    be read."""
    switches: list[tuple[Any, str]] = [
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_tf32"),
    ]
    if hasattr(torch.backends.cudnn, "conv"):
        switches += [(torch.backends.cudnn.conv, "fp32_precision"), (torch.backends.cuda.matmul, "fp32_precision")]
    return switches


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Convolutions and matrix products of fp32 tensors on GPUs inside are made in TF32, or not; outside as before."""
    before = []
    for owner, name in _tf32_switches():
        # Where a program has used the newer ones, the others say nothing and cannot be read.
        with suppress(RuntimeError):
            before.append((owner, name, getattr(owner, name)))
    _allow_tf32(allowed)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _keep_memory() -> None:
    global _keeps_memory
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    _keeps_memory = bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def keep_freed_memory(kept: bool) -> None:
    """Let glibc keep freed memory in this process as far as it does, or take large blocks from the system and give them
    back, one by one.

    The latter is for work whose sizes change, and gives back at once what was kept. Kept memory, and glibc by itself
    keeps blocks of up to 32 MiB, would grow to many times what is in use: until glibc 2.37 what has been freed is not
    found again by an aligned request of the same size, and torch's are aligned.
    """
    global _gives_back
    if kept is not _gives_back or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    if not kept:
        libc.mallopt(_M_MMAP_MAX, _MMAP_MAX)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        libc.malloc_trim(0)
    elif _keeps_memory:
        libc.mallopt(_M_MMAP_MAX, 0)
    _gives_back = not kept


def peak_memory(device: torch.device) -> int:
    """The largest memory so far, in bytes: allocated on a GPU, else resident of this process (0: the system does not
    say)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def keeps_memory() -> bool:
    """Whether glibc keeps freed memory in this process; for the record."""
    return _keeps_memory


def gpu_has_bf16(device: torch.device) -> bool:
    """Whether a GPU has units for bf16."""
    # torch.cuda.is_bf16_supported() also counts emulation, which is slower than fp32.
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


def cudnn_version() -> int | None:
    """cuDNN's version, 91002 for 9.10.2; None: torch has none."""
    return None if torch.version.hip is not None else torch.backends.cudnn.version()


def gpu_has_tf32(device: torch.device) -> bool:
    """Whether a GPU has units for TF32: NVIDIA's from Ampere on."""
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)
