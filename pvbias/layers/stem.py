"""The first convolution of a 3D network on a GPU, as a 2D convolution over frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .availability import kernels_run_on
from .convolution import is_plain_conv3d
from .launch import Launch, kept_by_dtype
from .precision import computed_dtype

#: Input channels that matrix units do not take as they are: RGB, flow, grey.
_FEW_CHANNELS = 4

#: cuDNN's kernels for half precision read channels in groups of this many.
_GROUP = 8

#: Values that a program copies.
_BLOCK = 1024


def is_stem(module: nn.Module) -> bool:
    """Whether a module is a plain 3D convolution of at most 4 input channels, without groups, that
    :func:`forward_stem` is for."""
    return is_plain_conv3d(module) and module.in_channels <= _FEW_CHANNELS and module.groups == 1


def forward_stem(module: nn.Conv3d, input: Tensor) -> Tensor:
    """Forward of a stem convolution, with the frames that a kernel spans side by side as channels.

    ::

        clip (N, C, T, H, W) -> frames (N * T', KT * C, H, W) -> 2D convolution -> (N, K, T', H', W')

    cuDNN has no kernel for matrix units that takes 3 channels in 3D; in 2D, with more of them, it has. Zeros fill the
    channels up to a multiple of 8.
    """
    x = input
    if type(x) is not Tensor or x.dim() != 5 or x.device.type != "cuda" or x.shape[1] != module.in_channels:
        return type(module).forward(module, x)
    return convolve_frames(module, x)


def convolve_frames(module: nn.Conv3d, x: Tensor) -> Tensor:
    """The output of a stem convolution, computed by a 2D convolution; on any device."""
    assert not isinstance(module.padding, str)
    span, step, padding = module.kernel_size[0], module.stride[0], module.padding[0]
    dtype = computed_dtype(x)
    count = (x.shape[2] + 2 * padding - span) // step + 1
    missing = -span * x.shape[1] % _GROUP
    stack = _stack_by_kernel if not _learns(x) and kernels_run_on(x.device) else _stack
    stacked = stack(x, dtype, span, step, padding, count, missing)
    weight = F.pad(module.weight.transpose(1, 2).flatten(1, 2), (0, 0, 0, 0, 0, missing))
    weight = weight.contiguous(memory_format=torch.channels_last)
    output = F.conv2d(stacked, weight, module.bias, module.stride[1:], module.padding[1:])
    return output.unflatten(0, (-1, count)).transpose(1, 2)


def _learns(x: Tensor) -> bool:
    """Whether somebody asks for the gradient of the clip: an attack."""
    return x.requires_grad and torch.is_grad_enabled()


def _stack(x: Tensor, dtype: torch.dtype, span: int, step: int, padding: int, count: int, missing: int) -> Tensor:
    """The frames under the kernel side by side: ``(N, C, T, H, W)`` to ``(N * count, span * C + missing, H, W)``."""
    frames = F.pad(x.to(dtype).permute(0, 2, 3, 4, 1), (0, 0, 0, 0, 0, 0, padding, padding))  # (N, T, H, W, C)
    taps = [frames[:, tap : tap + (count - 1) * step + 1 : step] for tap in range(span)]
    if missing:
        taps.append(frames.new_zeros(()).expand(*taps[0].shape[:-1], missing))
    return torch.cat(taps, dim=-1).flatten(0, 1).permute(0, 3, 1, 2)  # channels_last


def _stack_by_kernel(
    x: Tensor, dtype: torch.dtype, span: int, step: int, padding: int, count: int, missing: int
) -> Tensor:
    """As :func:`_stack`, in one pass, without a gradient."""
    shape = (x.shape[0] * count, span * x.shape[1] + missing, *x.shape[3:])
    stacked = torch.empty(shape, device=x.device, dtype=dtype, memory_format=torch.channels_last)
    stack = _kept((x.dtype, dtype), tuple(x.shape), x.stride(), span, step, padding, count, shape[1])
    stack(x.detach(), stacked)
    return stacked


def _stacking(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    span: int,
    step: int,
    padding: int,
    count: int,
    out_channels: int,
) -> Launch:
    """The launch for clips of one shape and memory format."""
    from . import stem_kernels as kernels

    batch, channels, frames, height, width = shape
    constants = {"CHANNELS": channels, "TAPS": span, "STEP": step, "PADDING": padding, "OUT_CHANNELS": out_channels}
    return Launch(
        kernels.stack_frames,
        (batch * count * height, -(-width * out_channels // _BLOCK), 1),
        (frames, height, width, count, *strides),
        {**constants, "BLOCK": _BLOCK},
    )


_kept = kept_by_dtype(_stacking)
