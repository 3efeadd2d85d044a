"""Depthwise 3D convolutions on a GPU: those of X3D, channel-separated networks and the pooling of MViT."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .availability import kernels_run_on
from .convolution import is_plain_conv3d
from .differentiation import once_differentiable
from .launch import kept_by_dtype
from .precision import computed_dtype
from .windows import Windows, output_sizes

#: The longest side of a kernel: taps are unrolled.
_LONGEST = 5

#: Programs that sum the weight's gradient, at most.
_PROGRAMS = 4096


def is_depthwise(module: nn.Module) -> bool:
    """Whether a module is a plain 3D convolution with a filter for each channel that :func:`forward_depthwise` is for:
    kernels of at most 5 in each dimension (one of 1x1x1 is not worth it)."""
    return (
        is_plain_conv3d(module)
        and module.groups == module.in_channels == module.out_channels > 1
        and 1 < max(module.kernel_size) <= _LONGEST
    )


def forward_depthwise(module: nn.Conv3d, input: Tensor) -> Tensor:
    """Forward of a depthwise convolution; by the kernels for dense fp32, bf16 or fp16 on a GPU.

    The output is in channels_last_3d then, as is the input that the kernels read: one that is not is copied.
    """
    assert not isinstance(module.padding, str)
    x = input
    dtype = computed_dtype(x)
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

        windows = Windows(shape, kernel_size, stride, padding)
        self.output_shape = batch, _, frames, height, _ = windows.output_shape
        self.convolve = windows.launch(kernels.convolve, self.output_shape, BIAS=bias)
        self.propagate = windows.launch(kernels.propagate, shape)
        rows, taps = batch * frames * height, kernel_size[0] * kernel_size[1]
        split_rows = -(-rows // max(1, _PROGRAMS // (taps * windows.channel_blocks)))
        self.splits = -(-rows // split_rows)
        grid = (taps, windows.channel_blocks, self.splits)
        self.correlate = windows.launch(kernels.correlate, self.output_shape, rows, split_rows, grid=grid)


_plan = kept_by_dtype(_Plan)


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
