"""Evaluation mode for a while: every inner module is in its own mode again afterwards."""

import pytest
from torch import nn

from pvbias.models import evaluation_mode


def mixed():
    """A network that trains, with a frozen BatchNorm and, inside a part in evaluation mode, a layer that trains."""
    network = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Sequential(nn.Dropout(), nn.ReLU()))
    network[1].eval()
    network[2].eval()
    network[2][0].train()
    return network


def modes(network):
    return [module.training for module in network.modules()]


MIXED = [True, True, False, False, True, False]


def test_each_module_is_put_back_into_its_own_mode():
    network, other = mixed(), nn.Linear(2, 2).eval()
    with evaluation_mode(network, other):
        assert not any(modes(network) + modes(other))
    assert modes(network) == MIXED
    assert not other.training


def test_also_after_an_error_and_when_one_is_inside_another():
    network = mixed()
    with pytest.raises(RuntimeError), evaluation_mode(network, network[2]), evaluation_mode(network):
        raise RuntimeError
    assert modes(network) == MIXED
