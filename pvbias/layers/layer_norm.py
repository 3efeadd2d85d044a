"""LayerNorm on a GPU: torch's kernels are slow for the few channels of a video transformer's heads and first stages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .availability import kernels_run_on
from .differentiation import once_differentiable
from .fast_forward import is_fast
from .launch import Launch, kept_by_dtype

#: The most channels: torch's own kernels are good at many.
_CHANNELS = 1024

#: Values of a program's block, and programs of the backward pass, at most.
_BLOCK, _PROGRAMS = 4096, 1024


def is_layer_norm(module: nn.Module) -> bool:
    """Whether a module is a LayerNorm over one dimension that :func:`forward_layer_norm` is for."""
    return (
        isinstance(module, nn.LayerNorm)
        and type(module).forward is nn.LayerNorm.forward
        and len(module.normalized_shape) == 1
        and 1 < module.normalized_shape[0] <= _CHANNELS
    )


def forward_layer_norm(norm: nn.LayerNorm, input: Tensor) -> Tensor:
    """Forward of a LayerNorm; fp32 under autocast, as torch has it."""
    dtype = torch.float32 if torch.is_autocast_enabled(input.device.type) else input.dtype
    return _by_kernels(norm, input, dtype) if _is_supported(norm, input, dtype) else type(norm).forward(norm, input)


def layer_norm(norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> Tensor:
    """A LayerNorm's output in a dtype: what ``norm(x).to(dtype)`` is, in one pass where the kernels run.

    Args:
        norm: over the last dimension.
        x: ``(..., D)``.
        dtype: of the result.
    """
    if is_fast(norm) and _is_supported(norm, x, dtype):
        return _by_kernels(norm, x, dtype)
    return norm(x).to(dtype)


def _is_supported(norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> bool:
    return (
        type(x) is Tensor
        and x.numel() > 0
        and x.shape[-1] == norm.normalized_shape[0]
        and {x.dtype, dtype} <= {torch.float32, torch.bfloat16, torch.float16}
        and all(each is None or each.dtype == torch.float32 for each in (norm.weight, norm.bias))
        and kernels_run_on(x.device)
    )


def _by_kernels(norm: nn.LayerNorm, x: Tensor, dtype: torch.dtype) -> Tensor:
    return _LayerNorm.apply(x, norm.weight, norm.bias, norm.eps, dtype)


class _Plan:
    """Launches for a matrix of one shape."""

    def __init__(self, rows: int, columns: int, eps: float, weight: bool, bias: bool) -> None:
        from . import layer_norm_kernels as kernels

        width = 1 << (columns - 1).bit_length()
        height = max(1, _BLOCK // width)
        blocks = {"BLOCK_ROWS": height, "BLOCK_COLUMNS": width}
        self.normalize = Launch(
            kernels.normalize,
            (-(-rows // height), 1, 1),
            (eps, rows),
            {"COLUMNS": columns, "WEIGHT": weight, "BIAS": bias, **blocks},
        )
        split_rows = -(-rows // (_PROGRAMS * height)) * height
        self.splits = -(-rows // split_rows)
        self.propagate = Launch(
            kernels.propagate, (self.splits, 1, 1), (rows, split_rows), {"COLUMNS": columns, "WEIGHT": weight, **blocks}
        )


_plan = kept_by_dtype(_Plan)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dtype: torch.dtype
    ) -> Tensor:
        x = x.contiguous()
        weight = None if weight is None else weight.contiguous()
        bias = None if bias is None else bias.contiguous()
        columns = x.shape[-1]
        rows = x.numel() // columns
        plan = _plan((x.dtype, dtype), rows, columns, eps, weight is not None, bias is not None)
        y = torch.empty_like(x, dtype=dtype)
        statistics = x.new_empty(2 * rows, dtype=torch.float32)
        plan.normalize(x, y, statistics, x if weight is None else weight, x if bias is None else bias)
        ctx.save_for_backward(x, weight, statistics)
        ctx.plan = plan
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, statistics = ctx.saved_tensors
        plan = ctx.plan
        x_gradient = torch.empty_like(x)
        parts = x.new_empty((2, plan.splits, x.shape[-1]), dtype=torch.float32)
        plan.propagate(x, gradient.contiguous(), x_gradient, statistics, x if weight is None else weight, parts)
        needs_weight, needs_bias = ctx.needs_input_grad[1:3]
        weight_gradient, bias_gradient = parts.sum(1).unbind() if needs_weight or needs_bias else (None, None)
        return (
            x_gradient,
            weight_gradient if needs_weight else None,
            bias_gradient if needs_bias else None,
            None,
            None,
        )
