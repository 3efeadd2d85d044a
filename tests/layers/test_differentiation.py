"""A second derivative of the kernels is an error, and never zero."""

import pytest
import torch
from torch import nn

from pvbias.layers import use_fast_layers

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
