"""Gradient reversal, and its schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by ``-factor`` (Ganin et al., *Domain-Adversarial Training of Neural
    Networks*, JMLR 17, 2016, eqs. 15 and 16): ``ReversedGradient.apply(features, factor)``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        """``features``."""
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """``-factor`` times the gradient."""
        return -ctx.factor * gradients[0], None


def reversal_strength(share: float, gamma: float) -> float:
    """``lambda_p = 2 / (1 + exp(-gamma p)) - 1`` for the share p of the training that is over, in [0, 1] (Ganin et al.
    2016, sec. 5.2.2): from 0 towards 1."""
    return 2 / (1 + math.exp(-gamma * share)) - 1
