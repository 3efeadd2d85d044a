"""Max pooling is torch's to the last bit, and so is where its gradient goes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.layers import max_pool
from pvbias.layers.max_pool import is_max_pool


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "shape"),
    [
        (3, 2, 1, (2, 6, 3, 4, 5)),
        (3, 1, 1, (1, 2, 2, 3, 3)),
        ((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 24, 1, 5, 5)),
        ((2, 1, 3), (1, 3, 1), (1, 0, 0), (1, 65, 2, 4, 3)),
    ],
)
def test_values_and_gradients(interpreter, kernel, stride, padding, shape):
    # Whole numbers, so that there are equal ones: the first of them gets the gradient.
    values = torch.randint(-4, 4, shape, generator=torch.Generator().manual_seed(0)).float()
    own = values.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    plain = values.clone().requires_grad_()
    found, expected = max_pool(own, kernel, stride, padding), F.max_pool3d(plain, kernel, stride, padding)
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    found.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(found, expected)
    assert torch.allclose(own.grad, plain.grad, atol=1e-6)
    assert torch.equal(max_pool(own.detach(), kernel, stride, padding), expected)


@pytest.mark.parametrize("learns", [True, False])
def test_nan_and_infinity(interpreter, learns):
    x = torch.full((1, 2, 1, 4, 4), float("-inf"))
    x[0, 0, 0, 0, 0], x[0, 1, 0, 3, 3] = float("nan"), 2
    given = x.contiguous(memory_format=torch.channels_last_3d).requires_grad_(learns)
    assert torch.equal(max_pool(given, (1, 2, 2), (1, 2, 2)).nan_to_num(), F.max_pool3d(x, (1, 2, 2)).nan_to_num())


@pytest.mark.parametrize("options", [{"dilation": 2}, {"ceil_mode": True}, {"return_indices": True}])
def test_which_poolings(options):
    assert is_max_pool(nn.MaxPool3d(3))
    assert not is_max_pool(nn.MaxPool3d(3, **options))
