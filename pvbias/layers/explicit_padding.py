"""Explicit padding for convolutions over few frames on a CPU, where oneDNN computes wrong gradients of their weights.

On processors with AVX-512 or AMX, the kernels that oneDNN takes for that gradient are wrong where a clip is hardly
longer than the convolution is: with garbage in some of the weights' gradients, fp32 as well as bf16 (there also for the
plain kernels of 3 that the last stages of many networks have), or with a process that ends. Seen with torch 2.4.0 and
2.14.1 (oneDNN 3.4 and 3.12), in both memory formats.

All of it has to do with padding: the same kernels are right on frames to which the zeros have been added before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class ExplicitPadding(TorchFunctionMode):
    """Context in which convolutions that are trained on a CPU pad short clips explicitly.

    A dimension is short where it is less than the convolution's extent and stride together. The results are those of
    torch, to rounding. All others go on as they are: on GPUs, without gradients, of longer clips.
    """

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, or the equivalent with explicit padding."""
        return _INSTEAD.get(func, func)(*args, **(kwargs or {}))


def _convolution(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``convolve`` (2D or 3D) on explicitly padded input."""

    def padded(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor:
        kernel = weight.shape[2:]
        if _learns(input, weight):
            extents = _extents(kernel, _each(dilation, kernel))
            if isinstance(padding, str):
                pads = [((extent - 1) // 2, extent // 2) if padding == "same" else (0, 0) for extent in extents]
            else:
                pads = [(pad, pad) for pad in _each(padding, kernel)]
            sizes, strides = input.shape[-len(kernel) :], _each(stride, kernel)
            short = [_is_short(*dimension) for dimension in zip(sizes, extents, strides, strict=True)]
            if any(is_short and max(pad) for is_short, pad in zip(short, pads, strict=True)):
                # F.pad begins with the last dimension.
                input = F.pad(input, [zeros for pad in reversed(pads) for zeros in pad])
                padding = 0
        return convolve(input, weight, bias, stride, padding, dilation, groups)

    return padded


def _transposed_convolution(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``convolve`` (transposed, 2D or 3D) without padding, its output cropped instead."""

    def padded(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        dilation: int | Sequence[int] = 1,
    ) -> Tensor:
        kernel = weight.shape[2:]
        cut: list[tuple[int, int, int]] = []
        if _learns(input, weight):
            strides, pads, more = _each(stride, kernel), _each(padding, kernel), _each(output_padding, kernel)
            extents = _extents(kernel, _each(dilation, kernel))
            dimensions = range(-len(kernel), 0)
            sizes = [
                (input.shape[dimension] - 1) * strides[dimension]
                + extents[dimension]
                + more[dimension]
                - 2 * pads[dimension]
                for dimension in dimensions
            ]
            short = [_is_short(*dimension) for dimension in zip(sizes, extents, strides, strict=True)]
            if any(is_short and pad for is_short, pad in zip(short, pads, strict=True)):
                cut = list(zip(dimensions, pads, sizes, strict=True))
                padding = 0
        output = convolve(input, weight, bias, stride, padding, output_padding, groups, dilation)
        for dimension, begin, size in cut:
            output = output.narrow(dimension, begin, size)
        return output

    return padded


_INSTEAD: dict[Callable, Callable[..., Tensor]] = {
    torch.conv2d: _convolution(torch.conv2d),
    torch.conv3d: _convolution(torch.conv3d),
    torch.conv_transpose2d: _transposed_convolution(torch.conv_transpose2d),
    torch.conv_transpose3d: _transposed_convolution(torch.conv_transpose3d),
}


def _learns(input: Tensor, weight: Tensor) -> bool:
    return input.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled()


def _is_short(size: int, extent: int, stride: int) -> bool:
    return size < extent + stride


def _extents(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Extents of a dilated kernel, in elements of the input."""
    return [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]


def _each(value: int | Sequence[int], kernel: Sequence[int]) -> Sequence[int]:
    """``value`` for each dimension of the kernel."""
    values = [value] if isinstance(value, int) else list(value)
    return values * len(kernel) if len(values) == 1 else values
