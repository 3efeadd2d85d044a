"""A second derivative of the kernels is an error, and never zero."""

import pytest
import torch
from torch import nn

from pvbias.layers import differentiable_twice, is_fast, use_fast_layers

LAYERS = [
    nn.Sequential(nn.BatchNorm3d(4), nn.SiLU()),
    nn.Conv3d(4, 4, 3, padding=1, groups=4),
    nn.MaxPool3d(2),
    nn.LayerNorm(3),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_second_derivatives(interpreter, layer):
    use_fast_layers(layer)
    x = torch.randn(1, 4, 2, 2, 3).requires_grad_()
    y = layer((x * x).contiguous(memory_format=torch.channels_last_3d))
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)  # of a sum, whose gradient is constant
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_second_derivatives_of_torchs_own_layers(interpreter, layer):
    """Of forwards in which the fast ones are put aside; afterwards they are there again."""
    x = torch.randn(1, 4, 2, 2, 3).requires_grad_()

    def second_derivative():
        y = layer((x * x).contiguous(memory_format=torch.channels_last_3d))
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), x)[0]

    use_fast_layers(layer, ["sequence", "batch_norm", "depthwise", "max_pool", "layer_norm"])
    expected = second_derivative()
    use_fast_layers(layer)
    fast = [module for module in layer.modules() if is_fast(module)]
    assert fast
    with differentiable_twice(layer):
        torch.testing.assert_close(second_derivative(), expected)
    assert all(is_fast(module) for module in fast)
