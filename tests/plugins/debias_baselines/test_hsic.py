"""HSIC without bias: by its definition, beside ReBias' code, its gradients, and of independent features."""

import itertools
import math

import numpy as np
import pytest
import torch

from pvbias.plugins.debias_baselines.hsic import gaussian_kernel, hsic, squared_distances

from .given import waves


def kernel(x, squared_width):
    """By numpy, the diagonal zeroed."""
    found = np.exp(-((x[:, None] - x[None]) ** 2).sum(2) / (2 * squared_width))
    np.fill_diagonal(found, 0)
    return found


def estimate(x, y, of_x=2.0, of_y=3.0):
    return hsic(gaussian_kernel(x, torch.tensor(of_x)), gaussian_kernel(y, torch.tensor(of_y)))


def test_by_its_definition():
    """The mean over all quadruples of different clips of U_ij (V_ij + V_kl - 2 V_ik): what the formula sums up."""
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    u, v = kernel(x, 2.0), kernel(y, 3.0)
    terms = [u[i, j] * (v[i, j] + v[k, m] - 2 * v[i, k]) for i, j, k, m in itertools.permutations(range(6), 4)]
    assert estimate(torch.tensor(x), torch.tensor(y)).item() == pytest.approx(np.mean(terms), abs=1e-12)


def test_of_four_clips_by_hand():
    """Clips 1 and 2 alike, 3 and 4 alike, nothing else, in both: U = V with U_12 = U_34 = 1. Then tr(UV) = 4, 1'U1 = 4,
    1'UV1 = 4, and (4 + 16 / 6 - 8 / 2) / 4 = 2 / 3."""
    u = torch.eye(4) + torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    assert hsic(u, u).item() == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="4 clips or more, and here are 3"):
        hsic(u[:3, :3], u[:3, :3])


def test_beside_the_code_of_rebias():
    """clovaai/rebias at 79d1d1d, criterions/hsic.py, RbfHSIC(sigma_x=1.5, sigma_y=0.8), on the same tensors."""
    x, y = waves(6, 4, rate=1.0), waves(6, 3, rate=0.7)
    assert estimate(x, y, 1.5**2, 0.8**2).item() == pytest.approx(0.1441160188, rel=1e-7)


def test_of_independent_features_it_is_zero_on_average():
    torch.manual_seed(0)
    independent = torch.stack([estimate(torch.randn(8, 2), torch.randn(8, 3)) for _ in range(1000)])
    error = independent.std().item() / math.sqrt(1000)
    assert abs(independent.mean().item()) < 3 * error
    assert (independent < 0).any()
    x = torch.randn(8, 2)
    assert estimate(x, 3 * x, 2.0, 18.0).item() > 20 * error


def test_gradients_against_finite_differences():
    x, y = (waves(5, 3, rate=rate).requires_grad_() for rate in (1.0, 0.7))
    assert torch.autograd.gradcheck(estimate, (x, y))


def test_distances():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])
    assert squared_distances(x).tolist() == [[0, 25, 9], [25, 0, 16], [9, 16, 0]]
