"""BatchNorm3d of activations in channels_last_3d on a GPU, together with the activation that follows it.

torch has fast kernels for channels_last, and takes slow ones for channels_last_3d. The same memory seen as
``(N, C, T * H, W)`` is in channels_last, with the same statistics: what is left to torch goes that way. The kernels
here (:mod:`.batch_norm_kernels`) also add a shortcut and apply ReLU or SiLU while the values are at hand.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from .availability import kernels_run_on
from .differentiation import once_differentiable
from .launch import Launch, kept_by_dtype

_BLOCK_ROWS, _BLOCK_COLUMNS = 32, 128

#: Programs of a sum over positions, and its partial sums of a channel, at most.
_PROGRAMS, _PARTS = 1024, 2048

#: Channels whose partial sums a program combines.
_COMBINED_CHANNELS = 16

_NONE, _RELU, _SILU = 0, 1, 2

_Norm: TypeAlias = nn.BatchNorm3d | nn.SyncBatchNorm


def batch_norm(
    x: Tensor,
    norm: _Norm,
    *,
    residual: Tensor | None = None,
    activation: str = "",
) -> Tensor:
    """``activation(norm(x) + residual)`` of a BatchNorm3d, in one pass; also in training.

    Args:
        x: ``(N, C, T, H, W)``, for which :func:`is_supported` holds.
        norm: the layer; its running statistics move as they do by its own forward.
        residual: like ``x``; with no activation or ReLU only.
        activation: ``""``, ``"relu"`` or ``"silu"``.
    """
    running_mean, running_var, factor = _running_statistics(norm)
    batch_statistics = norm.training or norm.running_mean is None
    if batch_statistics and x.numel() == x.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    code = {"": _NONE, "relu": _RELU, "silu": _SILU}[activation]
    return _BatchNorm.apply(
        x, residual, norm.weight, norm.bias, running_mean, running_var, batch_statistics, factor, norm.eps, code
    )


def is_supported(x: Tensor, norm: nn.BatchNorm3d) -> bool:
    """Whether :func:`batch_norm` computes a layer's output of ``x``: a dense BatchNorm3d in fp32, with weight and
    bias or neither; ``x`` of as many channels, in channels_last_3d, fp32, bf16 or fp16, where the kernels run."""
    weight, mean = norm.weight, norm.running_mean
    return (
        type(x) is Tensor
        and x.dim() == 5
        and x.numel() > 0
        and x.shape[1] == norm.num_features
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and _is_channels_last(x)
        and kernels_run_on(x.device)
        and (weight is None) == (norm.bias is None)
        and (weight is None or weight.dtype == torch.float32)
        and (mean is None or mean.dtype == torch.float32)
    )


def forward_batch_norm(norm: nn.BatchNorm3d, input: Tensor) -> Tensor:
    """Forward of a BatchNorm3d: by the kernels, else torch's own on the 4D view, else torch's own."""
    if is_supported(input, norm):
        return batch_norm(input, norm)
    return forward_as_4d(norm, input)


def forward_as_4d(norm: _Norm, input: Tensor) -> Tensor:
    """Forward of a BatchNorm3d or SyncBatchNorm by torch, of channels_last_3d on a GPU as ``(N, C, T * H, W)``."""
    x, forward = input, type(norm).forward
    if type(x) is not Tensor or x.dim() != 5 or x.device.type != "cuda" or not _is_channels_last(x):
        return forward(norm, x)  # type: ignore[arg-type]
    folded = x.permute(0, 2, 3, 4, 1).flatten(1, 2).permute(0, 3, 1, 2)
    native = isinstance(norm, nn.BatchNorm3d)
    output = _native_batch_norm(norm, folded) if native else forward(norm, folded)  # type: ignore[arg-type]
    return output.permute(0, 2, 3, 1).unflatten(1, x.shape[2:4]).permute(0, 4, 1, 2, 3)


def _native_batch_norm(norm: nn.BatchNorm3d, x: Tensor) -> Tensor:
    """torch's own; the layer itself would refuse 4D input."""
    running_mean, running_var, factor = _running_statistics(norm)
    return nn.functional.batch_norm(
        x,
        running_mean,
        running_var,
        norm.weight,
        norm.bias,
        norm.training or norm.running_mean is None,
        factor,
        norm.eps,
    )


def _running_statistics(norm: _Norm) -> tuple[Tensor | None, Tensor | None, float]:
    """The running statistics to use or to move, and by how much; counts the mini-batch, as the layer does."""
    factor = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            factor = 1.0 / float(norm.num_batches_tracked)
    if norm.training and not norm.track_running_stats:
        return None, None, factor
    return norm.running_mean, norm.running_var, factor


def _is_channels_last(x: Tensor) -> bool:
    # Whatever the sizes of 1 do to strides.
    return x.permute(0, 2, 3, 4, 1).is_contiguous()


class _Plan:
    """Launches for activations of one shape: how the kernels divide them, with which constants they are compiled.

    The kernels see a matrix, several positions to a row, whose rows are summed apart in splits.
    """

    def __init__(
        self, shape: tuple[int, ...], momentum: float, eps: float, batch_statistics: bool, records: bool, affine: bool,
        residual: bool, activation: int,
    ) -> None:  # fmt: skip
        from . import batch_norm_kernels as kernels

        channels = shape[1]
        positions = math.prod(shape) // channels
        group = math.gcd(_BLOCK_COLUMNS // math.gcd(channels, _BLOCK_COLUMNS), positions)
        rows, columns = positions // group, channels * group
        column_blocks, row_blocks = -(-columns // _BLOCK_COLUMNS), -(-rows // _BLOCK_ROWS)
        splits = max(1, min(_PROGRAMS // column_blocks, _PARTS // group, row_blocks))
        split_rows = -(-row_blocks // splits) * _BLOCK_ROWS
        splits = -(-rows // split_rows)
        parts = splits * group
        self.channels = channels
        #: Values of the partial sums: two for each split and column.
        self.partial_sums = 2 * splits * columns
        blocks = {"BLOCK_ROWS": _BLOCK_ROWS, "BLOCK_COLUMNS": _BLOCK_COLUMNS}
        combining = {"BLOCK_PARTS": 256 if parts > 64 else 64, "BLOCK_CHANNELS": _COMBINED_CHANNELS}
        channel_grid = (-(-channels // _COMBINED_CHANNELS), 1, 1)
        split_grid, tile_grid = (column_blocks, splits, 1), (row_blocks, column_blocks, 1)
        parameters = {"SPREAD_IS_VARIANCE": not batch_statistics, "AFFINE": affine}
        self.collect_statistics = Launch(kernels.collect_statistics, split_grid, (rows, columns, split_rows), blocks)
        self.combine_statistics = Launch(
            kernels.combine_statistics,
            channel_grid,
            (momentum, eps, float(positions), parts, group, rows, split_rows, channels),
            {"HAS_RUNNING": records, **combining},
        )
        self.normalize = Launch(
            kernels.normalize,
            tile_grid,
            (eps, rows, columns, channels),
            {**parameters, "RESIDUAL": residual, "ACTIVATION": activation, **blocks},
        )
        # Backward, the shortcut matters only for ReLU, whose output then tells where it let the gradient through.
        after = {"RESIDUAL": residual and activation == _RELU, "ACTIVATION": activation, **blocks}
        self.collect_gradients = Launch(
            kernels.collect_gradients, split_grid, (eps, rows, columns, channels, split_rows), {**parameters, **after}
        )
        self.combine_gradients = Launch(kernels.combine_gradients, channel_grid, (parts, channels), combining)
        self.propagate = Launch(
            kernels.propagate,
            tile_grid,
            (eps, rows, columns, channels, float(positions)),
            {"BATCH_STATISTICS": batch_statistics, "AFFINE": affine, **after},
        )


_plan = kept_by_dtype(_Plan)


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        batch_statistics: bool,
        momentum: float,
        eps: float,
        activation: int,
    ) -> Tensor:
        affine, records, has_residual = weight is not None, running_mean is not None, residual is not None
        constants = (momentum, eps, batch_statistics, records, affine, has_residual, activation)
        plan = _plan(x.dtype, tuple(x.shape), *constants)
        y = torch.empty_like(x)
        if residual is not None:
            residual = _in_channels_last(residual, x.dtype)
        if batch_statistics:
            parts = x.new_empty(plan.partial_sums, dtype=torch.float32)
            mean, spread = x.new_empty((2, plan.channels), dtype=torch.float32).unbind()
            plan.collect_statistics(x, parts)
            plan.combine_statistics(
                parts,
                mean,
                spread,
                mean if running_mean is None else running_mean,
                mean if running_var is None else running_var,
            )
        else:
            assert running_mean is not None
            assert running_var is not None
            mean, spread = running_mean.contiguous(), running_var.contiguous()
        if weight is not None and bias is not None:
            weight, bias = weight.contiguous(), bias.contiguous()
        parameters = (mean, spread, mean if weight is None else weight, mean if bias is None else bias)
        plan.normalize(x, x if residual is None else residual, y, *parameters)
        ctx.plan, ctx.batch_statistics, ctx.has_residual = plan, batch_statistics, has_residual
        ctx.save_for_backward(x, weight, bias, mean, spread, y if has_residual and activation == _RELU else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, spread, y = ctx.saved_tensors
        plan = ctx.plan
        gradient = _in_channels_last(gradient, x.dtype)
        needs_x, needs_residual, needs_weight, needs_bias = ctx.needs_input_grad[:4]
        inputs = (x, gradient, x if y is None else y)
        parameters = (mean, spread, mean if weight is None else weight, mean if bias is None else bias)
        gradients = x.new_empty((2, plan.channels), dtype=torch.float32)
        x_gradient = None
        residual_gradient = gradient if ctx.has_residual else None
        if needs_weight or needs_bias or (needs_x and ctx.batch_statistics):
            parts = x.new_empty(plan.partial_sums, dtype=torch.float32)
            plan.collect_gradients(*inputs, parts, *parameters)
            plan.combine_gradients(parts, gradients)
        if needs_x or (needs_residual and y is not None):
            x_gradient = torch.empty_like(x)
            before = x_gradient if y is None else torch.empty_like(x)
            plan.propagate(*inputs, x_gradient, before, *parameters, gradients)
            residual_gradient = residual_gradient if y is None else before
        bias_gradient, weight_gradient = gradients.unbind()
        return (
            x_gradient if needs_x else None,
            residual_gradient if needs_residual else None,
            weight_gradient if needs_weight else None,
            bias_gradient if needs_bias else None,
            *[None] * 6,
        )


def _in_channels_last(values: Tensor, dtype: torch.dtype) -> Tensor:
    values = values.to(dtype)
    return values if _is_channels_last(values) else values.contiguous(memory_format=torch.channels_last_3d)
