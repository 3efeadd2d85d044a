"""ASDT and self-convolution on hand-worked kernels and on zoo layers of every kind."""

import math

import pytest
import torch
from pytorchvideo.models.csn import create_csn
from pytorchvideo.models.r2plus1d import create_r2plus1d
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from pytorchvideo.models.x3d import create_x3d
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.errors import WeightsError
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.bias_metrics import Asdt, SelfConvolution, add_config

SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)


def measure(evaluator, *layers, delta=None, temporal="below"):
    cfg = get_cfg()
    add_config(cfg)
    cfg.BIAS.SELF_CONVOLUTION_TEMPORAL = temporal
    if delta is not None:
        cfg.BIAS.SELF_CONVOLUTION_DELTA = delta
    module = layers[0] if len(layers) == 1 and not isinstance(layers[0], nn.Conv3d) else nn.Sequential(*layers)
    return evaluator(cfg, Recognizer(module, clip_spec=SPEC, head=""), []).evaluate()


def conv(weight):
    """A layer with this weight ``(out, in, T, H, W)``."""
    weight = torch.tensor(weight, dtype=torch.float32)
    layer = nn.Conv3d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]))
    layer.weight = nn.Parameter(weight)
    return layer


def temporal(*slices):
    """A kernel ``(T, 1, 1)``."""
    return [[[value]] for value in slices]


def model_figure(result, name):
    (figure,) = [figure for figure in result.figures if figure.name == name]
    assert figure.level == "model"
    return figure


def test_asdt_of_kernels_constant_in_time_is_zero():
    layer = nn.Conv3d(3, 4, (5, 3, 3))
    with torch.no_grad():
        layer.weight.copy_(layer.weight[:, :, :1].expand_as(layer.weight).clone())
    assert measure(Asdt, layer).tables["layers"][0]["asdt"] == pytest.approx(0, abs=1e-7)  # a square root of rounding


def test_asdt_by_hand():
    """Deviations: sqrt(2/3), 0, sqrt(2), sqrt(2/3). Their average, not their sum; divisor T, not T - 1."""
    layer = conv([[temporal(-1, 0, 1), temporal(5, 5, 5)], [temporal(0, 3, 0), temporal(2, 0, 1)]])
    expected = (math.sqrt(2 / 3) + 0 + math.sqrt(2) + math.sqrt(2 / 3)) / 4
    result = measure(Asdt, layer)
    (row,) = result.tables["layers"]
    assert row["asdt"] == pytest.approx(expected, rel=1e-6)
    assert (row["depth"], row["layer"], row["kernel"], row["channels"]) == (1, "0", "3x1x1", 2)
    assert model_figure(result, "asdt").value == pytest.approx(expected, rel=1e-6)


def test_relative_asdt_by_hand():
    """Deviations 1 and 0, sizes 1 and 5; of (0, 3, 0), sqrt(2) and sqrt(3)."""
    layer = conv([[temporal(-1, 1), temporal(5, 5)]])
    assert measure(Asdt, layer).tables["layers"][0]["relative_asdt"] == pytest.approx(1 / 6)
    between = conv([[temporal(0, 3, 0)]])
    result = measure(Asdt, between)
    assert result.tables["layers"][0]["relative_asdt"] == pytest.approx(math.sqrt(2 / 3))
    assert model_figure(result, "relative_asdt").value == pytest.approx(math.sqrt(2 / 3))
    assert measure(Asdt, conv([[temporal(0, 0, 0)]])).tables["layers"][0]["relative_asdt"] == 0


def test_relative_asdt_does_not_depend_on_the_size_of_the_weights():
    torch.manual_seed(0)
    layer = nn.Conv3d(40, 40, 3)
    before = measure(Asdt, layer).tables["layers"][0]
    with torch.no_grad():
        layer.weight.mul_(7)
    after = measure(Asdt, layer).tables["layers"][0]
    assert after["asdt"] == pytest.approx(7 * before["asdt"])
    assert after["relative_asdt"] == pytest.approx(before["relative_asdt"])


def test_asdt_averages_over_positions_in_the_kernel():
    layer = conv([[[[[1.0, 0.0]], [[-1.0, 0.0]]]]])  # (1, 1, 2, 1, 2): one position of deviation 1, one of 0
    assert measure(Asdt, layer).tables["layers"][0]["asdt"] == pytest.approx(0.5)


def test_self_convolution_by_hand():
    """sc: (1, 2, 3) -> 2 + 6; (1, -1, 1) -> -2; (1, 0, 5) -> 0. Temporal is below 0: not at 0, and more than half."""
    rising, alternating, gap = temporal(1, 2, 3), temporal(1, -1, 1), temporal(1, 0, 5)
    layer = conv(
        [
            [alternating, alternating, rising],  # 2 of 3: temporal
            [alternating, rising, gap],  # 1 of 3: static
            [gap, gap, gap],  # at delta, none below: static
            [rising, rising, rising],
        ]
    )
    result = measure(SelfConvolution, layer)
    (row,) = result.tables["layers"]
    assert (row["temporal_channels"], row["static_channels"], row["temporal_share"]) == (1, 3, 25)
    assert row["temporal_kernel_share"] == pytest.approx(25)
    assert model_figure(result, "temporal_channels").value == 25
    assert model_figure(result, "temporal_channels").unit == "%"
    (row,) = measure(SelfConvolution, layer, delta=0.5).tables["layers"]
    assert row["temporal_channels"] == 3  # sc = 0 is below 0.5: all but the rising ones
    (row,) = measure(SelfConvolution, layer, delta=-2.0).tables["layers"]
    assert row["temporal_channels"] == 0
    # As the definition is printed: 8 is above 0, -2 and 0 are not.
    result = measure(SelfConvolution, layer, temporal="above")
    (row,) = result.tables["layers"]
    assert (row["temporal_channels"], row["static_channels"]) == (1, 3)  # the rising ones alone
    assert row["temporal_kernel_share"] == pytest.approx(100 * 5 / 12)
    assert "as the definition is printed" in model_figure(result, "temporal_channels").note
    (row,) = measure(SelfConvolution, layer, delta=-2.0, temporal="above").tables["layers"]
    assert row["temporal_channels"] == 3  # all but that of two alternating ones


def test_half_of_the_kernels_is_not_more_than_half():
    layer = conv([[temporal(1, -1), temporal(1, 1)]])
    assert measure(SelfConvolution, layer).tables["layers"][0]["temporal_channels"] == 0


def test_identical_slices_are_static_and_opposite_ones_temporal():
    """The sign on which the paper contradicts itself."""
    slice_ = torch.randn(6, 4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    same = conv(slice_.expand(-1, -1, 3, -1, -1).tolist())
    opposite = conv((slice_ * torch.tensor([1.0, -1.0, 1.0]).view(1, 1, 3, 1, 1)).tolist())
    rows = measure(SelfConvolution, same, opposite).tables["layers"]
    assert [row["temporal_channels"] for row in rows] == [0, 6]


def test_only_convolutions_over_time_count_and_depth_is_their_order():
    layers = [
        nn.Conv3d(3, 8, (1, 3, 3)),
        nn.Conv3d(8, 8, (3, 1, 1)),
        nn.Conv3d(8, 8, (5, 3, 3), groups=8),
        nn.Conv3d(8, 4, 1),
        nn.Conv3d(4, 2, (2, 1, 1)),
    ]
    result = measure(Asdt, *layers)
    rows = result.tables["layers"]
    assert [(row["depth"], row["layer"], row["kernel"], row["groups"]) for row in rows] == [
        (1, "1", "3x1x1", 1),
        (2, "2", "5x3x3", 8),
        (3, "4", "2x1x1", 1),
    ]
    assert model_figure(result, "asdt").value == pytest.approx(sum(row["asdt"] for row in rows) / 3)
    assert model_figure(result, "asdt_first_third").value == pytest.approx(rows[0]["asdt"])
    assert model_figure(result, "asdt_last_third").value == pytest.approx(rows[2]["asdt"])


@pytest.mark.parametrize("evaluator", [Asdt, SelfConvolution])
def test_model_without_such_layers_is_not_applicable(evaluator):
    result = measure(evaluator, nn.Conv3d(3, 8, (1, 3, 3)), nn.Conv3d(8, 4, 1))
    assert "no convolution that extends over time" in result.not_applicable
    assert result.figures == []


def test_weights_that_are_not_finite_are_an_error():
    layer = nn.Conv3d(3, 4, 3)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0, 0] = math.nan
    with pytest.raises(WeightsError, match="'0'"):
        measure(Asdt, layer)


ZOO = {
    "resnet": (lambda: create_resnet(model_num_class=5, model_depth=50), {"3x7x7", "3x1x1"}, {1}),
    "csn": (lambda: create_csn(model_num_class=5, model_depth=50), {"3x7x7", "3x3x3"}, {1, 64, 128, 256, 512}),
    "r2plus1d": (lambda: create_r2plus1d(model_num_class=5, model_depth=50), {"3x1x1"}, {1}),
    "x3d": (
        lambda: create_x3d(model_num_class=5, input_clip_length=4, input_crop_size=160),
        {"5x1x1", "3x3x3"},
        {24, 54, 108, 216, 432},
    ),
    "mvit": (
        lambda: create_multiscale_vision_transformers(
            spatial_size=32,
            temporal_size=4,
            depth=2,
            head_num_classes=5,
            embed_dim_mul=[[1, 2.0]],
            atten_head_mul=[[1, 2.0]],
            pool_q_stride_size=[[1, 1, 2, 2]],
            pool_kv_stride_adaptive=[1, 4, 4],
            pool_kvq_kernel=[3, 3, 3],
        ),
        {"3x7x7", "3x3x3"},
        {1, 96},
    ),
}


@pytest.mark.parametrize("name", ZOO)
def test_layers_of_the_zoo_are_found_by_their_kernels(name):
    build, kernels, groups = ZOO[name]
    result = measure(SelfConvolution, build())
    rows = result.tables["layers"]
    assert {row["kernel"] for row in rows} == kernels
    assert {row["groups"] for row in rows} <= groups
    assert all(row["temporal_channels"] + row["static_channels"] == row["channels"] for row in rows)
