"""Process-wide settings for this machine: threads, allocator, GPU number formats."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from .hardware import available_cores

#: mallopt's parameters, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


#: Whether glibc keeps freed memory in this process; for the record.
_keeps_memory = False


def prepare_process(processes: int = 1) -> None:
    """Apply the process-wide settings; call once, early.

    - torch's threads: this process's share of the cores, unless ``OMP_NUM_THREADS`` says otherwise;
    - glibc keeps the memory of freed activations instead of faulting it in again on every step;
    - fp32 means fp32 on GPUs: no TF32, so that scores compare between machines.

    OpenMP's wait policy is not among them, because OpenMP reads it when torch is loaded: ``OMP_WAIT_POLICY=PASSIVE``
    has to be in the environment before. Threads that spin while they wait take the cores from decoding.

    Args:
        processes: of this run on this machine, >= 1.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // processes))
    _keep_memory()
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _keep_memory() -> None:
    global _keeps_memory
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    _keeps_memory = bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_memory() -> None:
    """Give freed memory back to the system, where glibc keeps it in this process.

    For work whose sizes change: until glibc 2.37 what has been freed is not found again by an aligned request of the
    same size, torch's are aligned, and so the process would grow to many times what is in use.
    """
    if _keeps_memory:
        ctypes.CDLL(None).malloc_trim(0)


def keeps_memory() -> bool:
    """Whether glibc keeps freed memory in this process; for the record."""
    return _keeps_memory


def gpu_has_bf16(device: torch.device) -> bool:
    """Whether a GPU has units for bf16."""
    # torch.cuda.is_bf16_supported() also counts emulation, which is slower than fp32.
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
