"""Sequences of layers in which a BatchNorm applies the activation behind it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import nn

from .normalize import FUSED_ACTIVATIONS, normalize


def is_normalized_sequence(module: nn.Module) -> bool:
    """Whether a module is an ``nn.Sequential`` with a BatchNorm3d directly before an activation that it can apply."""
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return False
    layers = list(module)
    return any(_are_pair(*pair) for pair in pairwise(layers))


def forward_sequence(module: nn.Sequential, input: Any) -> Any:
    """Forward of a sequence of layers, pairs of BatchNorm and activation in one pass."""
    x, layers = input, list(module)
    while layers:
        layer, *layers = layers
        if layers and _are_pair(layer, layers[0]):
            activation, *layers = layers
            x = normalize(layer, x, activation=activation)
        else:
            x = layer(x)
    return x


def _are_pair(first: nn.Module, second: nn.Module) -> bool:
    return isinstance(first, nn.BatchNorm3d) and type(second) in FUSED_ACTIVATIONS
