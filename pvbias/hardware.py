"""Description of this machine, without importing torch where possible."""

from __future__ import annotations

import importlib.util
import os
import platform
import runpy
import shutil
from functools import cache
from pathlib import Path

#: What there is where a driver for GPUs is: NVIDIA's, the same under WSL, AMD's.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def available_cores() -> int:
    """Cores that this process may use: its affinity, and its control group's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):  # another system, or control groups of another version
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


@cache
def torch_build() -> dict[str, str | None]:
    """The build of torch: ``cuda`` and ``hip``, versions or None."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return {"cuda": None, "hip": None}
    build = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return {name: build.get(name) for name in ("cuda", "hip")}


def describe_machine() -> dict[str, str]:
    """Describe this machine, and what would be chosen on it, for ``pvbias env``."""
    flags = cpu_features()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
    gpus, bf16_training = _gpus()
    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "system": f"{platform.platform()}, {' '.join(platform.libc_ver())}".rstrip(", "),
        "CPU": f"{cpu_model()}, {available_cores()} of {os.cpu_count()} cores usable",
        "CPU features": ", ".join(flag for flag in wanted if flag in flags) or "none of " + ", ".join(wanted),
        "GPUs": "; ".join(gpus) or "none",
        "CUDA in torch": torch_build()["cuda"] or "none",
        "torch threads": f"{threads} (OMP_NUM_THREADS)"
        if threads
        else f"a run takes {available_cores()}, divided by its processes",
        "OpenMP wait policy": os.environ.get("OMP_WAIT_POLICY", "system default (PASSIVE is better while decoding)"),
        "automatic precision": f"evaluation fp32, training {'bf16' if bf16_training else 'fp32'}",
        "automatic memory format": "channels_last_3d for convolutional models, contiguous for transformers",
        "allocator": "glibc, set to keep freed memory in runs"
        if platform.libc_ver()[0] == "glibc"
        else "system default",
    }


def backends() -> list[str]:
    """Backends of torch.distributed that torch was built with and pvbias uses."""
    on_gpus = torch_build()["cuda"] or torch_build()["hip"]
    return ["gloo", *(["nccl"] if on_gpus and platform.system() == "Linux" else [])]


def cpu_model() -> str:
    """The processor's name."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def cpu_features() -> set[str]:
    """The processor's features as Linux calls them, ``avx512_bf16`` and the like; empty where it does not say."""
    return set(_cpu_info("flags").split())


def _gpus() -> tuple[list[str], bool]:
    """The GPUs that torch sees, and whether the current one computes in bf16. Torch is asked only where there is a
    driver for one."""
    if not any(map(os.path.exists, _GPU_DEVICES)) and shutil.which("nvidia-smi") is None:
        return [], False
    import torch

    from .machine import gpu_has_bf16

    gpus = [
        f"{gpu.name} (capability {gpu.major}.{gpu.minor}, {gpu.total_memory / 2**30:.0f} GiB)"
        for gpu in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]
    return gpus, bool(gpus) and gpu_has_bf16(torch.device("cuda", torch.cuda.current_device()))


def _cpu_info(key: str) -> str:
    """An entry of Linux's description of the first processor; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")
