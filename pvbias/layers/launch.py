"""Launching Triton kernels with little work on the host: a training step has hundreds of launches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor


class Launch:
    """A launch of a Triton kernel for arguments of one kind, to be repeated.

    Triton looks at each argument anew, whenever a kernel is launched, to find the compiled one: for tens of
    microseconds. What it looks at are dtypes, sizes and alignment. Of the same dtypes and sizes, only the alignment of
    the tensors is left to be looked at.

    Args:
        kernel: a ``triton.jit`` function whose sizes come after its tensors, and its compile-time constants last.
        grid: numbers of programs.
        sizes: the arguments behind the tensors: integers and floats.
        constants: the compile-time constants, by name.
        warps: of a program.
    """

    def __init__(
        self,
        kernel: Any,
        grid: tuple[int, int, int],
        sizes: tuple[int | float, ...],
        constants: dict[str, Any],
        *,
        warps: int = 4,
    ) -> None:
        self._kernel, self._grid, self._sizes, self._constants, self._warps = kernel, grid, sizes, constants, warps
        self._behind = (*sizes, *(constants[name] for name in kernel.arg_names if name in constants))
        #: The compiled kernel on a device, for aligned tensors.
        self._ready: dict[int, Any] = {}

    def __call__(self, *tensors: Tensor) -> None:
        """Launch the kernel on the tensors' device. They have the same dtypes at each call."""
        device = tensors[0].device
        if device.type != "cuda":  # Triton's interpreter
            self._kernel[self._grid](*tensors, *self._sizes, **self._constants)
            return
        if device.index != torch.cuda.current_device():
            with torch.cuda.device(device):
                self(*tensors)
            return
        addresses = 0
        for tensor in tensors:
            addresses |= tensor.data_ptr()
        if addresses % 16:
            self._compile(*tensors)
            return
        ready = self._ready.get(device.index)
        if ready is not None:
            ready(*tensors, *self._behind)
            return
        compiled = self._compile(*tensors)
        if _takes_constants():
            self._ready[device.index] = compiled[self._grid]

    def _compile(self, *tensors: Tensor) -> Any:
        """Launch by Triton's own way, which finds or compiles the kernel; the compiled one."""
        return self._kernel[self._grid](*tensors, *self._sizes, **self._constants, num_warps=self._warps)


_Plan = TypeVar("_Plan")


def kept_by_dtype(plan: Callable[..., _Plan]) -> Callable[..., _Plan]:
    """Keep what makes launches: ``kept(dtypes, *arguments)`` is ``plan(*arguments)``, the same for the same dtypes of
    the tensors that they will be called with. Whatever else a compiled kernel depends on has to be in the arguments."""

    @lru_cache(maxsize=1024)
    def kept(dtypes: Any, *arguments: Any) -> _Plan:
        return plan(*arguments)

    return kept


@cache
def _takes_constants() -> bool:
    """Whether a compiled kernel is launched with its constants among its arguments, which Triton has it since 3.3."""
    import triton

    return tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 3)
