"""A normalisation, a shortcut and an activation in one pass, where nobody looks between them."""

import copy

import pytest
import torch
from torch import nn

from pvbias.layers import normalize, use_fast_layers


def features(channels=4):
    values = torch.randn(2, channels, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=torch.channels_last_3d)


def expected(norm, activation, x, residual):
    y = copy.deepcopy(norm)(x)
    y = y if residual is None else y + residual
    return y if activation is None else activation(y)


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("activation", [None, nn.ReLU(), nn.SiLU(), nn.Tanh()])
@pytest.mark.parametrize("fast", [False, True])
def test_results(interpreter, fast, activation, shortcut):
    norm, x = nn.BatchNorm3d(4), features()
    residual = features().flip(0) if shortcut else None
    reference = expected(norm, activation, x, residual)
    if fast:
        use_fast_layers(norm)
    assert torch.allclose(normalize(norm, x, activation=activation, residual=residual), reference, atol=1e-5)


@pytest.mark.parametrize("watched", ["norm", "activation"])
def test_hooks_see_what_each_layer_gives(interpreter, watched):
    layers = {"norm": nn.BatchNorm3d(4), "activation": nn.ReLU()}
    use_fast_layers(layers["norm"])
    seen = []
    layers[watched].register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    x = features()
    result = normalize(layers["norm"], x, activation=layers["activation"])
    ((given, output),) = seen
    before = expected(nn.BatchNorm3d(4), None, x, None)
    assert torch.allclose(given if watched == "activation" else output, before, atol=1e-5)
    assert torch.allclose(result, before.relu(), atol=1e-5)


def test_hooks_on_all_modules(interpreter):
    layers = nn.Sequential(nn.BatchNorm3d(4), nn.ReLU())
    use_fast_layers(layers)
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    layers(features())
    handle.remove()
    assert seen == [*layers, layers]


def test_a_shortcut_keeps_its_precision(interpreter):
    norm, x, residual = nn.BatchNorm3d(4), features().bfloat16(), features().flip(0)
    use_fast_layers(norm)
    result = normalize(norm, x, residual=residual)
    assert result.dtype == torch.float32
    assert torch.allclose(result, expected(nn.BatchNorm3d(4), None, x, residual), atol=0.05)


def test_other_normalisations_go_their_own_way(interpreter):
    norm, x = nn.GroupNorm(2, 4), features()
    assert torch.equal(normalize(norm, x, activation="relu"), norm(x).relu())
