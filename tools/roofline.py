"""Arithmetic and memory traffic of a training step, beside what the device at hand can do of each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.autograd import DeviceType
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pvbias.machine import tf32
from pvbias.runtime import DTYPES
from pvbias.tools.timed_steps import STEPS_AT_ONCE, PlainStep, timed

#: Side of the matrices multiplied and bytes copied to find out what a device can do: enough to keep it busy.
_SIDE = {"cuda": 8192, "cpu": 512}
_COPIED = {"cuda": 2**31, "cpu": 2**27}

#: Operators that give memory and write nothing into it.
_ALLOCATING = ("empty", "new_empty")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a device was measured to do at most.

    Attributes:
        flops: operations a second of a large matrix product, a multiply-add being two.
        traffic: bytes read and written a second in copying a large tensor.
    """

    flops: float
    traffic: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a training step has to do.

    Attributes:
        flops: in convolutions and matrix products, a multiply-add being two: three times those of its forward (the
            gradients of inputs and of weights take one more each).
        traffic: bytes read and written where each of PyTorch's operators, in forward, backward and optimizer, reads the
            tensors that it is given once and writes its result once. Fused operators can do with less.
    """

    flops: float
    traffic: float

    def shares(self, seconds: float, limits: Limits) -> tuple[float, float]:
        """How much of the device's arithmetic and of its memory traffic a step that takes so long makes use of."""
        return self.flops / seconds / limits.flops, self.traffic / seconds / limits.traffic


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel of a GPU in a step: its name, how often it runs, and for how many milliseconds in all."""

    name: str
    calls: float
    milliseconds: float


def measure_limits(device: torch.device, precision: str) -> Limits:
    """Measure what a device does at most: a large matrix product in the number format, and a large copy."""
    side, count = _SIDE[device.type], _COPIED[device.type] // 4
    one, other = torch.randn(2, side, side, device=device).to(DTYPES.get(precision, torch.float32))
    source = torch.zeros(count, device=device)
    target = torch.empty_like(source)
    at_once = STEPS_AT_ONCE[device.type]
    with tf32(precision == "tf32"):
        product = min(timed(lambda: one @ other, device, at_once) for _ in range(4))  # the first one warms up
    copy = min(timed(lambda: target.copy_(source), device, at_once) for _ in range(4))
    return Limits(flops=2 * side**3 / product, traffic=2 * source.nbytes / copy)


def count_work(plain: PlainStep) -> Work:
    """Count the work of a plain step, on shapes alone, without computing anything."""
    shapes = FakeTensorMode()
    with FakeCopyMode(shapes):
        plain = copy.deepcopy(plain)
    plain.scaler = torch.amp.GradScaler(plain.device.type, enabled=False)  # a scaler looks at values
    with shapes:
        plain.module.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            plain.logits(plain.batch[:1])
        plain.module.train()
        if not plain.optimizer.state:
            plain.step()  # the first one has no momenta
        with _ByteCounter() as counted:
            plain.step()
    return Work(flops=3 * counter.get_total_flops() * len(plain.batch), traffic=counted.traffic)


def top_kernels(step: Callable[[], object], steps: int, count: int = 10) -> list[Kernel]:
    """The kernels of a GPU that take most, the longest first.

    Args:
        step: takes some steps.
        steps: how many; times and calls are those of one.
        count: of the kernels.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    kernels = [
        Kernel(name=each.key, calls=each.count / steps, milliseconds=each.self_device_time_total / 1000 / steps)
        for each in profile.key_averages()
        if each.device_type != DeviceType.CPU and each.self_device_time_total > 0 and not each.is_user_annotation
    ]
    return sorted(kernels, key=lambda kernel: -kernel.milliseconds)[:count]


class _ByteCounter(TorchDispatchMode):
    """Counts the bytes that operators read and write, each of their tensors once; views count nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.traffic = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_view = any(each.alias_info and not each.alias_info.is_write for each in func._schema.returns)
        library, _, name = func._schema.name.partition("::")
        if library == "aten" and not is_view and not name.startswith(_ALLOCATING):
            given = {id(each): each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
            made = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
            self.traffic += sum(map(_in_memory, [*given.values(), *made]))
        return result


def _in_memory(tensor: Tensor) -> int:
    """Bytes of a tensor; of an expanded one those that are there."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
