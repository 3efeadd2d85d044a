"""BatchNorm's running statistics, frozen for a while; BatchNorm over the clips of all processes, here of one."""

import copy

import pytest
import torch
from torch import nn

from pvbias.errors import ConfigError
from pvbias.layers import describe_fast_layers, use_fast_layers
from pvbias.models import batch_norm
from pvbias.models.batch_norm import freeze_running_stats, synchronised


def test_statistics_stand_still_inside_and_go_on_afterwards():
    """Whatever mode the layers are in, and those without statistics stay without."""
    layers = nn.Sequential(nn.BatchNorm3d(2), nn.BatchNorm3d(2, track_running_stats=False), nn.BatchNorm3d(2).eval())
    features = torch.randn(4, 2, 3, 3, 3) + 5
    with freeze_running_stats(layers):
        normalised = layers[0](features)
        assert layers[0].running_mean.tolist() == [0, 0]
        assert normalised.mean().abs() < 1e-5  # by the mini-batch's own statistics
    assert [layer.track_running_stats for layer in layers] == [True, False, True]
    layers[0](features)
    assert (layers[0].running_mean > 0.4).all()
    torch.testing.assert_close(layers[2](features), features / (1 + 1e-5) ** 0.5)


@pytest.fixture
def several(monkeypatch):
    """Several processes, of which the others have no clips. (See test_launch for two that have.)"""
    monkeypatch.setattr(batch_norm, "get_world_size", lambda: 2)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"momentum": None, "eps": 0.1}, {"track_running_stats": False}], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_synchronised_layers_compute_what_torchs_do(several, kind, options, dtype):
    torch.manual_seed(0)
    plain = kind(3, **options, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    if plain.affine:
        nn.init.normal_(plain.weight)
        nn.init.normal_(plain.bias)
    ours = copy.deepcopy(plain)
    shape = (5, 3) if kind is nn.BatchNorm1d else (5, 3, *[4] * (2 if kind is nn.BatchNorm2d else 3))
    given, weight = torch.randn(shape, dtype=dtype) + 2, torch.randn(shape)
    results = []
    for layer, context in ((plain, synchronised()), (ours, synchronised(ours))):
        features = given.clone().requires_grad_()
        with context:
            for _ in range(2):
                normalised = layer(features)
            assert normalised.dtype == dtype
            (normalised * weight).sum().backward()
            evaluated = layer.eval()(features)
        gradients = [features.grad, *(parameter.grad for parameter in layer.parameters())]
        results.append([normalised, evaluated, *gradients, *layer.state_dict().values()])
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(results[1], results[0], **tolerance)
    assert type(ours) is kind


def test_keys_and_kinds_stay_the_same_inside(several):
    layers = nn.Sequential(nn.BatchNorm3d(2), nn.SyncBatchNorm(2), nn.BatchNorm2d(2))
    before, text = list(layers.state_dict()), repr(layers)
    with synchronised(layers):
        assert list(layers.state_dict()) == before
        assert repr(layers) == text
        assert all(isinstance(layer, nn.SyncBatchNorm) for layer in layers)
        assert isinstance(layers[0], nn.BatchNorm3d)
        with pytest.raises(ValueError, match="expected 5D input"):
            layers[0](torch.rand(2, 2))
        with synchronised(layers):
            pass
        assert isinstance(layers[0], nn.SyncBatchNorm)  # still
    assert [type(layer) for layer in layers] == [nn.BatchNorm3d, nn.SyncBatchNorm, nn.BatchNorm2d]


def test_fast_forwards_know_of_one_process_and_are_put_aside(several):
    layers = nn.Sequential(nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2), nn.ReLU())
    use_fast_layers(layers)
    before = dict(describe_fast_layers(layers))
    assert before["batch_norm"] == 1
    with synchronised(layers):
        assert "batch_norm" not in describe_fast_layers(layers)
        use_fast_layers(layers)  # as placing it again does
        assert "batch_norm" not in describe_fast_layers(layers)
        assert "forward" not in vars(layers[1])
    assert describe_fast_layers(layers) == before


def test_a_forward_that_has_been_replaced_is_refused(several):
    layer = nn.BatchNorm3d(2)
    layer.forward = lambda features: features
    with pytest.raises(ConfigError, match="The forward of a BatchNorm3d of the model has been replaced"):
        synchronised(layer).__enter__()
    assert type(layer) is nn.BatchNorm3d
