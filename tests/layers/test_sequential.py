"""A sequence of layers gives what it gives, pairs of BatchNorm and activation in one pass."""

import copy

import torch
from torch import nn

from pvbias.layers import describe_fast_layers, use_fast_layers
from pvbias.layers.sequential import is_normalized_sequence


def test_results_and_statistics(interpreter):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 6, 1, groups=2), nn.BatchNorm3d(6), nn.SiLU(), nn.BatchNorm3d(6)
    )
    plain = copy.deepcopy(layers)
    use_fast_layers(layers)
    assert describe_fast_layers(layers) == {"sequence": 1, "batch_norm": 3}
    x = torch.randn(2, 4, 2, 3, 3).contiguous(memory_format=torch.channels_last_3d)
    assert torch.allclose(layers(x), plain(x), atol=1e-5)
    for name, value in plain.state_dict().items():
        assert torch.allclose(layers.state_dict()[name], value, atol=1e-6), name


def test_which_sequences():
    class Own(nn.Sequential):
        def forward(self, x):
            return x

    assert is_normalized_sequence(nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.ReLU()))
    assert not is_normalized_sequence(nn.Sequential(nn.BatchNorm3d(2), nn.Conv3d(2, 2, 1), nn.ReLU()))
    assert not is_normalized_sequence(nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()))
    assert not is_normalized_sequence(Own(nn.BatchNorm3d(2), nn.ReLU()))
