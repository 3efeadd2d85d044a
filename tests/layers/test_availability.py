"""Where operations are transformed or recorded, layers with fast forwards are torch's own."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from pvbias.layers import use_fast_layers


def clip():
    x = torch.randn(2, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last_3d)


def traced(model):
    return torch.jit.trace(model, clip(), check_trace=False)(clip().flip(0))


def gradient(model):
    return torch.func.grad(lambda x: model(x).square().sum())(clip())


def directional(model):
    return torch.func.jvp(model, (clip(),), (clip().flip(0),))[1]


def forward_mode(model):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(model(forward_ad.make_dual(clip(), clip().flip(0)))).tangent


def mapped(model):
    return torch.func.vmap(model)(torch.stack([clip(), clip().flip(0)]))


@pytest.mark.filterwarnings("ignore")  # torch.jit's farewell
@pytest.mark.parametrize("transform", [traced, gradient, directional, forward_mode, mapped])
def test_transforms(interpreter, transform):
    torch.manual_seed(0)
    convolution, pooling = nn.Conv3d(2, 2, 3, padding=1, groups=2), nn.MaxPool3d(2, 1)
    plain = nn.Sequential(convolution, nn.BatchNorm3d(2), nn.ReLU(), pooling, nn.LayerNorm(2)).eval()
    fast = copy.deepcopy(plain)
    use_fast_layers(fast)
    assert torch.allclose(transform(fast), transform(plain), atol=1e-6)
