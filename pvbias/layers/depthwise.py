"""Depthwise 3D convolutions on a GPU: those of X3D, channel-separated networks and the pooling of MViT."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from .availability import kernels_run_on
from .differentiation import once_differentiable
from .launch import Launch
from .rows import BLOCK_CHANNELS, geometry, output_sizes, row_blocks, row_grid, row_warps, vector

#: The longest side of a kernel: taps are unrolled.
_LONGEST = 5

#: Programs that sum the weight's gradient, at most.
_PROGRAMS = 4096


def is_depthwise(module: nn.Module) -> bool:
    """Whether a module is a depthwise 3D convolution that :func:`forward_depthwise` is for: a filter for each channel,
    kernels of at most 5 in each dimension (one of 1x1x1 is not worth it), zeros as padding, no dilation."""
    return (
        isinstance(module, nn.Conv3d)
        and type(module).forward is nn.Conv3d.forward
        and type(module)._conv_forward is nn.Conv3d._conv_forward
        and module.groups == module.in_channels == module.out_channels > 1
        and 1 < max(module.kernel_size) <= _LONGEST
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and set(module.dilation) == {1}
    )


def forward_depthwise(module: nn.Conv3d, input: Tensor) -> Tensor:
    """Forward of a depthwise convolution; by the kernels for dense fp32, bf16 or fp16 on a GPU.

    The output is in channels_last_3d then, as is the input that the kernels read: one that is not is copied.
    """
    assert not isinstance(module.padding, str)
    x = input
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    supported = (
        type(x) is Tensor
        and x.dim() == 5
        and x.numel() > 0
        and x.shape[1] == module.in_channels
        and x.is_floating_point()
        and dtype in (torch.float32, torch.bfloat16, torch.float16)
        and module.weight.dtype == torch.float32
        and kernels_run_on(x.device)
        and min(output_sizes(x.shape[2:], module.kernel_size, module.stride, module.padding)) > 0
    )
    if not supported:
        return type(module).forward(module, x)
    return _Depthwise.apply(x.to(dtype), module.weight, module.bias, module.stride, module.padding)


class _Plan:
    """Launches for a convolution of activations of one shape."""

    def __init__(
        self,
        shape: tuple[int, ...],
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        bias: bool,
    ) -> None:
        from . import depthwise_kernels as kernels

        batch, channels, *sizes = shape
        outside = output_sizes(sizes, kernel_size, stride, padding)
        self.output_shape = (batch, channels, *outside)
        constants = geometry(kernel_size, stride, padding)
        lengths = (*sizes, *outside)
        vectors = vector(channels)
        self.convolve = Launch(
            kernels.convolve,
            row_grid(self.output_shape),
            (*lengths, channels // vectors),
            {**constants, "BIAS": bias, "VECTOR": vectors, **row_blocks(outside[-1])},
            warps=row_warps(outside[-1]),
        )
        self.propagate = Launch(
            kernels.propagate,
            row_grid(shape),
            (*lengths, channels // vectors),
            {**constants, "VECTOR": vectors, **row_blocks(sizes[-1])},
            warps=row_warps(sizes[-1]),
        )
        rows, channel_blocks = batch * outside[0] * outside[1], -(-channels // BLOCK_CHANNELS)
        programs = kernel_size[0] * kernel_size[1] * channel_blocks
        split_rows = -(-rows // max(1, _PROGRAMS // programs))
        self.splits = -(-rows // split_rows)
        self.correlate = Launch(
            kernels.correlate,
            (kernel_size[0] * kernel_size[1], channel_blocks, self.splits),
            (*lengths, rows, split_rows, channels // vectors),
            {**constants, "VECTOR": vectors, **row_blocks(outside[-1])},
            warps=row_warps(outside[-1]),
        )


@lru_cache(maxsize=1024)
def _plan(dtype: torch.dtype, *shape_and_constants: Any) -> _Plan:
    """The launches for activations of a dtype: whatever a compiled kernel depends on is in the arguments."""
    return _Plan(*shape_and_constants)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        plan = _plan(x.dtype, tuple(x.shape), tuple(weight.shape[2:]), stride, padding, bias is not None)
        y = torch.empty(plan.output_shape, device=x.device, dtype=x.dtype, memory_format=torch.channels_last_3d)
        taps = weight.detach().flatten(1).t().contiguous()  # (KT * KH * KW, C)
        plan.convolve(x, taps, taps if bias is None else bias.contiguous(), y)
        ctx.save_for_backward(x, taps)
        ctx.plan, ctx.weight_shape = plan, weight.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        plan = ctx.plan
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last_3d)
        x_gradient = weight_gradient = bias_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = torch.empty_like(x)
            plan.propagate(gradient, taps, x_gradient)
        if ctx.needs_input_grad[1]:
            parts = x.new_empty((plan.splits, *taps.shape), dtype=torch.float32)
            plan.correlate(x, gradient, parts)
            weight_gradient = parts.sum(0).t().reshape(ctx.weight_shape)
        if ctx.needs_input_grad[2]:
            bias_gradient = gradient.sum((0, 2, 3, 4), dtype=torch.float32)
        return x_gradient, weight_gradient, bias_gradient, None, None
