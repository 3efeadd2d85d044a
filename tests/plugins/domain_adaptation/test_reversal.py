"""The reversed gradient and its schedule."""

import pytest
import torch

from pvbias.plugins.domain_adaptation import ReversedGradient, reversal_strength


def test_the_identity_has_the_gradient_of_its_negative():
    features = torch.tensor([1.0, -2.0], requires_grad=True)
    given = ReversedGradient.apply(features, 0.25)
    assert torch.equal(given, features)
    (given * torch.tensor([3.0, 5.0])).sum().backward()
    assert features.grad.tolist() == [-0.75, -1.25]


def test_the_strength_rises_from_0_towards_1():
    """tanh(gamma p / 2)."""
    assert reversal_strength(0.0, 10.0) == 0
    assert reversal_strength(0.1, 10.0) == pytest.approx(0.46211716)
    assert reversal_strength(1.0, 10.0) == pytest.approx(0.99990920)
    assert reversal_strength(1.0, 0.0) == 0
