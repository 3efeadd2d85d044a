"""The decoding discrepancy penalties (paper, eq. 1 and 2), and the norm of eq. 3."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .decoders import Decoded


def frobenius(difference: Tensor, *, rms: bool = False) -> Tensor:
    """Frobenius norm of each clip's tensor, averaged over the mini-batch: a scalar, float32.

    The paper writes the norm of one clip's tensor, without a divisor: the root of the sum of squares over all of its
    elements. Its gradient with respect to a clip's tensor has length 1 / N whatever the clip's size and however small
    the difference; where the difference is exactly zero it is zero.

    Args:
        difference: ``(N, ...)``.
        rms: the root of the mean of squares instead.
    """
    norms = torch.linalg.vector_norm(difference.float(), dim=tuple(range(1, difference.dim())))
    return norms.mean() / (difference[0].numel() ** 0.5 if rms else 1)


def low_level_discrepancy(flow: Decoded, frames: Decoded, *, rms: bool = False) -> Tensor:
    """Eq. 1: the sum over layers of the norm of the difference between the two decoders' features, as
    :func:`frobenius` takes it."""
    pairs: Iterable[tuple[Tensor, Tensor]] = zip(flow.hidden, frames.hidden, strict=True)
    return torch.stack([frobenius(ours - theirs, rms=rms) for ours, theirs in pairs]).sum()


def gaussian_divergence(mean_1: Tensor, log_variance_1: Tensor, mean_2: Tensor, log_variance_2: Tensor) -> Tensor:
    """Eq. 2: KL(N1 || N2) of Gaussians with diagonal covariance, in nats: summed over dimensions, averaged over the
    mini-batch.

    ``1/2 sum [ log v2 - log v1 + (v1 + (m1 - m2)^2) / v2 - 1 ]``

    Args:
        mean_1, log_variance_1, mean_2, log_variance_2: ``(N, L)``.
    """
    difference = log_variance_1 - log_variance_2
    terms = difference.exp() + (mean_1 - mean_2).square() * (-log_variance_2).exp() - 1 - difference
    return terms.sum(1).mean() / 2
