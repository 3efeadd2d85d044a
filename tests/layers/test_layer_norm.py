"""LayerNorm is torch's, in float64."""

import copy

import pytest
import torch
from torch import nn

from pvbias.layers import layer_norm, use_fast_layers

from .reference import assert_same


def layer(columns, **options):
    torch.manual_seed(0)
    norm = nn.LayerNorm(columns, **options)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 5, 96), {}),
        ((300, 24), {"bias": False}),  # several splits
        ((2, 3, 130), {"elementwise_affine": False}),
        ((1, 7), {"eps": 0.1}),
    ],
)
def test_results_and_gradients(interpreter, shape, options):
    norm = layer(shape[-1], **options)
    plain = copy.deepcopy(norm).double()
    use_fast_layers(norm)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + 3
    assert_same(norm, plain, x)


def test_a_weight_that_lies_apart(interpreter):
    norm = layer(12)
    plain = copy.deepcopy(norm).double()
    norm.weight = nn.Parameter(torch.stack([norm.weight.detach()] * 2, dim=1)[:, 0])
    use_fast_layers(norm)
    assert_same(norm, plain, torch.randn(2, 12))


def test_float64_under_autocast(interpreter):
    norm, x = layer(12).double(), torch.randn(4, 12, dtype=torch.float64)
    use_fast_layers(norm)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x).dtype == torch.float64


def test_the_precision_that_is_asked_for(interpreter):
    norm, x = layer(12), torch.randn(4, 12)
    for _ in range(2):  # by torch, then by the kernels
        assert layer_norm(norm, x, torch.float16).dtype == torch.float16
        assert torch.allclose(layer_norm(norm, x, torch.float16).float(), norm(x), atol=2e-3)
        use_fast_layers(norm)
