"""Gradient reversal: what follows is trained to tell something from features, which are trained not to tell it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def reverse_gradient(features: Tensor, factor: float) -> Tensor:
    """The features themselves, whose gradient is multiplied by ``-factor``."""
    reversed_: Tensor = _ReversedGradient.apply(features, factor)
    return reversed_


class _ReversedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None
