"""3D max pooling on a GPU, of activations in channels_last_3d, which torch would copy to and fro."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .availability import kernels_run_on
from .differentiation import once_differentiable
from .launch import kept_by_dtype
from .windows import Windows, output_sizes

#: Taps are kept as bytes, and 255 is none of them.
_MOST_TAPS = 128


def is_max_pool(module: nn.Module) -> bool:
    """Whether a module is a 3D max pooling that :func:`forward_max_pool` is for: no dilation, no indices asked for,
    sizes rounded down."""
    return (
        isinstance(module, nn.MaxPool3d)
        and type(module).forward is nn.MaxPool3d.forward
        and _each(module.dilation) == (1, 1, 1)
        and not module.return_indices
        and not module.ceil_mode
    )


def forward_max_pool(module: nn.MaxPool3d, input: Tensor) -> Tensor:
    """Forward of a max pooling."""
    stride = module.kernel_size if module.stride is None else module.stride
    return max_pool(input, module.kernel_size, stride, module.padding)


def max_pool(
    x: Tensor, kernel_size: int | Sequence[int], stride: int | Sequence[int], padding: int | Sequence[int] = 0
) -> Tensor:
    """3D max pooling, by the kernels where :func:`is_supported` holds.

    Args:
        x: ``(N, C, T, H, W)``.
        kernel_size, stride, padding: frames, height, width.
    """
    kernel, steps, zeros = _each(kernel_size), _each(stride), _each(padding)
    fits = all(2 * pad <= size for pad, size in zip(zeros, kernel, strict=True))
    taps = kernel[0] * kernel[1] * kernel[2]
    if not is_supported(x) or not fits or taps > _MOST_TAPS or min(output_sizes(x.shape[2:], kernel, steps, zeros)) < 1:
        return F.max_pool3d(x, kernel, steps, zeros)
    return _MaxPool.apply(x, kernel, steps, zeros)


def is_supported(x: Tensor) -> bool:
    """Whether the kernels can pool an input: dense, in channels_last_3d, fp32, bf16 or fp16, on a device that has
    them."""
    return (
        type(x) is Tensor
        and x.dim() == 5
        and x.numel() > 0
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and kernels_run_on(x.device)
        and x.is_contiguous(memory_format=torch.channels_last_3d)
    )


def _each(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) * 3 if isinstance(sizes, int) else tuple(sizes)


class _Plan:
    """Launches for a pooling of activations of one shape."""

    def __init__(
        self,
        shape: tuple[int, ...],
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        keeps_taps: bool,
    ) -> None:
        from . import max_pool_kernels as kernels

        windows = Windows(shape, kernel_size, stride, padding)
        self.shape, self.output_shape = shape, windows.output_shape
        self.pool = windows.launch(kernels.pool, self.output_shape, TAPS=keeps_taps)
        self.propagate = windows.launch(kernels.propagate, shape)


_plan = kept_by_dtype(_Plan)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        keep = ctx.needs_input_grad[0]
        plan = _plan(x.dtype, tuple(x.shape), kernel, stride, padding, keep)
        y = torch.empty(plan.output_shape, device=x.device, dtype=x.dtype, memory_format=torch.channels_last_3d)
        taps = torch.empty_like(y, dtype=torch.uint8) if keep else y
        plan.pool(x, y, taps)
        ctx.plan = plan
        if keep:
            ctx.save_for_backward(taps)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (taps,) = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        x_gradient = torch.empty(
            ctx.plan.shape, device=gradient.device, dtype=gradient.dtype, memory_format=torch.channels_last_3d
        )
        ctx.plan.propagate(gradient, taps, x_gradient)
        return x_gradient, None, None, None
