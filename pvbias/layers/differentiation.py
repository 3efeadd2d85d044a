"""Derivatives of the Triton kernels: the first one only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import function


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """torch's decorator of this name, which makes a second derivative an error, for constant gradients, too: torch's
    own would take their second derivative for zero."""
    once = function.once_differentiable(backward)

    @wraps(backward)
    def first(ctx: Any, gradient: Tensor) -> Any:
        if torch.is_grad_enabled() and not gradient.requires_grad:  # create_graph=True
            gradient = gradient.detach().requires_grad_()
        return once(ctx, gradient)

    return first
