"""A stem's convolution over frames is the 3D convolution."""

import copy

import pytest
import torch
from torch import nn

from pvbias.layers import convolve_frames
from pvbias.layers.stem import is_stem

from .reference import assert_same

CASES = pytest.mark.parametrize(
    ("kernel", "stride", "padding", "channels", "bias"),
    [
        ((7, 7, 7), (1, 2, 2), (3, 3, 3), 3, False),
        ((1, 3, 3), (1, 2, 2), (0, 1, 1), 3, True),
        ((5, 3, 3), (2, 1, 1), (2, 1, 0), 2, False),
        ((4, 2, 2), (3, 2, 2), (0, 0, 0), 4, True),
    ],
)


@CASES
def test_results_and_gradients(kernel, stride, padding, channels, bias):
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, 8, kernel, stride, padding, bias=bias)
    plain = copy.deepcopy(conv).double()

    class Stem(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = conv.weight, conv.bias

        def forward(self, x):
            return convolve_frames(conv, x)

    assert_same(Stem(), plain, torch.randn(2, channels, 9, 12, 11))


@CASES
def test_frames_side_by_side_by_a_kernel(interpreter, kernel, stride, padding, channels, bias):
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, 8, kernel, stride, padding, bias=bias)
    for layout in (torch.channels_last_3d, torch.contiguous_format):
        x = torch.randn(2, channels, 7, 8, 7).contiguous(memory_format=layout)
        assert torch.allclose(convolve_frames(conv, x), conv(x), atol=1e-5)


def test_which_convolutions():
    assert is_stem(nn.Conv3d(3, 64, 7))
    assert is_stem(nn.Conv3d(2, 64, (1, 7, 7), stride=2))
    assert not is_stem(nn.Conv3d(5, 64, 7))
    assert not is_stem(nn.Conv3d(3, 3, 7, groups=3))
    assert not is_stem(nn.Conv3d(3, 64, 7, padding="same"))
    assert not is_stem(nn.Conv2d(3, 64, 7))
