"""The identity whose gradient is reversed."""

import torch

from pvbias.engine import reverse_gradient


def test_the_identity_has_the_gradient_of_its_negative():
    features = torch.tensor([1.0, -2.0], requires_grad=True)
    given = reverse_gradient(features, 0.25)
    assert torch.equal(given, features)
    (given * torch.tensor([3.0, 5.0])).sum().backward()
    assert features.grad.tolist() == [-0.75, -1.25]
