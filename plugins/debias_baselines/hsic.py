"""The Hilbert-Schmidt independence criterion (HSIC) of features, without bias, with Gaussian kernels."""

from __future__ import annotations

import torch
from torch import Tensor

#: Fewest clips that HSIC can be estimated without bias from.
FEWEST = 4


def hsic(u: Tensor, v: Tensor) -> Tensor:
    """The estimate of HSIC from the kernels ``(m, m)`` of m clips, symmetric, without bias: 0 on average where the
    features are independent, in single mini-batches also below it.

    HSIC_1 of L. Song et al., *Feature Selection via Dependence Maximization*, JMLR 13 (2012), eq. 5. With the diagonals
    of both kernels set to zero::

        1 / (m (m - 3)) * (tr(U V) + 1'U1 1'V1 / ((m - 1) (m - 2)) - 2 / (m - 2) 1'U V 1)

    ReBias' code (clovaai/rebias, ``hsic.py``) subtracts the diagonal, a row, from every row instead of zeroing it. Of a
    Gaussian kernel that is 1 from all values: the diagonal is then zero, the others are smaller by 1, and the estimate,
    which does not change with a constant, is the same. Of kernels with another diagonal (a linear one) it is not.
    """
    m = len(u)
    if m < FEWEST:
        raise ValueError(f"HSIC without bias takes {FEWEST} clips or more, and here are {m}")
    others = 1 - torch.eye(m, dtype=u.dtype, device=u.device)
    u, v = u * others, v * others
    # Sums of products in place of matrix products, which autocast would take in half precision.
    terms = (u * v).sum() + u.sum() * v.sum() / ((m - 1) * (m - 2)) - 2 / (m - 2) * (u.sum(0) * v.sum(0)).sum()
    return terms / (m * (m - 3))


def gaussian_kernel(x: Tensor, squared_width: Tensor) -> Tensor:
    """``exp(-|x_i - x_j|^2 / (2 s^2))`` of features ``(m, D)``: ``(m, m)``.

    Args:
        x: the features.
        squared_width: ``s^2``, a scalar.
    """
    return torch.exp(-squared_distances(x) / (2 * squared_width))


def squared_distances(x: Tensor) -> Tensor:
    """``|x_i - x_j|^2`` of features ``(m, D)``: ``(m, m)``, from the differences themselves."""
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
