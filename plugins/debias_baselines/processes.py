"""Features of the clips of all processes, with gradients."""

from __future__ import annotations

import torch
from fvcore.nn.distributed import differentiable_all_gather
from torch import Tensor


def gather(features: Tensor) -> Tensor:
    """The features of all processes' clips in the order of the mini-batch, float32, ``(N, D) -> (M, D)``.

    Gradients of the loss in all processes run back to them: averaged over processes, as those of a loss are, they are
    the gradient of one such loss.
    """
    return torch.cat(differentiable_all_gather(features.float().contiguous()))
