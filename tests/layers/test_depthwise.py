"""Depthwise convolutions are torch's, in float64."""

import copy

import pytest
import torch
from torch import nn

from pvbias.layers import use_fast_layers
from pvbias.layers.depthwise import is_depthwise
from pvbias.layers.stem import is_stem

from .reference import assert_same


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding", "bias", "shape"),
    [
        (6, (3, 3, 3), (1, 1, 1), (1, 1, 1), False, (1, 2, 2, 3)),
        (24, (1, 3, 3), (1, 2, 2), (0, 1, 1), True, (1, 1, 3, 4)),
        (4, (5, 1, 1), (1, 1, 1), (2, 0, 0), False, (1, 6, 2, 2)),
        (2, (3, 3, 3), (2, 8, 8), (1, 1, 1), False, (1, 2, 9, 9)),  # steps longer than the kernel
        (3, (2, 4, 5), (2, 1, 2), (0, 2, 1), False, (1, 2, 2, 3)),
        (65, (3, 1, 1), (1, 1, 1), (0, 0, 0), False, (1, 3, 1, 1)),  # more channels than a block, one frame left
    ],
)
def test_results_and_gradients(interpreter, channels, kernel, stride, padding, bias, shape):
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, channels, kernel, stride, padding, groups=channels, bias=bias)
    plain = copy.deepcopy(conv).double()
    use_fast_layers(conv)
    x = torch.randn(shape[0], channels, *shape[1:])
    assert conv(x).is_contiguous(memory_format=torch.channels_last_3d)
    assert_same(conv, plain, x)


@pytest.mark.parametrize(
    ("options", "depthwise"),
    [
        ({"groups": 4, "kernel_size": 3}, True),
        ({"groups": 2, "kernel_size": 3}, False),
        ({"groups": 4, "kernel_size": 7}, False),
        ({"groups": 4, "kernel_size": 1}, False),
        ({"groups": 4, "kernel_size": 3, "dilation": 2}, False),
        ({"groups": 4, "kernel_size": 3, "padding": "same"}, False),
        ({"groups": 4, "kernel_size": 3, "padding": 1, "padding_mode": "replicate"}, False),
    ],
)
def test_which_convolutions(options, depthwise):
    assert is_depthwise(nn.Conv3d(4, 4, **options)) is depthwise


def test_a_convolution_of_its_own_kind():
    class Standardised(nn.Conv3d):
        def _conv_forward(self, input, weight, bias):
            return super()._conv_forward(input, weight - weight.mean(), bias)

    assert not is_depthwise(Standardised(4, 4, 3, groups=4))
    assert not is_stem(Standardised(3, 8, 3))
