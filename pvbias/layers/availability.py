"""Whether Triton kernels run on a device."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

import torch
from torch.autograd import forward_ad

#: The least compute capability of a GPU that the kernels were written for: bf16, and Triton itself.
_CAPABILITY = (8, 0)


def kernels_run_on(device: torch.device) -> bool:
    """Whether the Triton kernels of this package run on a device: a GPU of NVIDIA's from Ampere on, with Triton at
    hand; a CPU in Triton's interpreter only (``TRITON_INTERPRET=1``), which is for tests. Nowhere in torch.func's
    transforms, in forward-mode differentiation, or while a graph of the operations is recorded: they know none."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    if device.type == "cuda":
        return _has_triton() and torch.version.hip is None and _capability(device) >= _CAPABILITY
    return device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1" and _has_triton()


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
