"""Where Rev2Net's decoders start, in the models of the catalogue."""

import pytest
import torch

import pvbias.plugins.classic_models
import pvbias.plugins.pytorchvideo_zoo
import pvbias.plugins.torchvision_zoo  # noqa: F401
from pvbias.config import get_cfg
from pvbias.engine import Step
from pvbias.errors import ConfigError
from pvbias.plugins.rev2net import Rev2Net, add_config

from .models import recognizer_of


def rev2net_cfg(*overrides):
    cfg = get_cfg()
    add_config(cfg)
    cfg.merge_from_list(list(overrides))
    return cfg


def test_the_papers_shapes():
    """Conv3d_2c of I3D, 16x56x56 for clips of 32x224x224; the decoders give the clip's size."""
    with torch.device("meta"):
        recognizer = recognizer_of("inception_i3d", num_frames=32, crop_size=224)
        objective = Rev2Net(rev2net_cfg(), recognizer)
        with recognizer.taps(objective.tap) as features:
            made = objective.decode(torch.empty(2, 3, 32, 224, 224))
    assert objective.tap == "Conv3d_2c_3x3"
    assert features[objective.tap].shape == (2, 192, 16, 56, 56)
    assert made.flow.shape == (2, 2, 32, 224, 224)
    assert made.frames.shape == (2, 3, 32, 224, 224)


@pytest.mark.parametrize(
    ("model", "frames", "size", "tap"),
    [
        ("slow_r50", 8, 224, "blocks.1"),
        ("x3d_s", 13, 160, "blocks.1"),
        ("r3d_18", 16, 112, "layer1"),
        ("r3d_small", 16, 64, "blocks.2"),
        ("torchvision_s3d", 32, 224, "features.3"),
        ("torchvision_r3d_18", 16, 112, "layer2"),
        ("r2plus1d_r50", 16, 224, "blocks.1"),
    ],
)
def test_default_taps(model, frames, size, tap):
    with torch.device("meta"):
        objective = Rev2Net(rev2net_cfg(), recognizer_of(model, num_frames=frames, crop_size=size))
        made = objective.decode(torch.empty(1, 3, frames, size, size))
    assert objective.tap == tap
    assert made.flow.shape == (1, 2, frames, size, size)
    assert made.frames.shape == (1, 3, frames, size, size)


def test_a_step_of_a_3d_resnet():
    """Also from a tap half the clip's size."""
    for tap in ("", "blocks.0"):
        recognizer = recognizer_of("r3d_small", num_frames=16, crop_size=32).train()
        objective = Rev2Net(rev2net_cfg("REV2NET.CHANNELS", [4, 4], "REV2NET.TAP", tap), recognizer).train()
        step = Step(
            clips=torch.rand(2, 3, 16, 32, 32),
            labels=torch.tensor([0, 1]),
            recognizer=recognizer,
            epoch=0.0,
            names=["a", "b"],
            flow=torch.zeros(2, 2, 16, 32, 32),
        )
        objective.phases()[0].loss(step)["loss"].backward()
        trained = [*recognizer.named_parameters(), *objective.named_parameters()]
        assert not [name for name, parameter in trained if parameter.grad is None]


def test_choosing_a_tap_leaves_the_recognizer_as_it_was():
    recognizer = recognizer_of("r3d_small", num_frames=16, crop_size=32).train()
    recognizer.module.blocks[0].eval()
    before = {name: value.clone() for name, value in recognizer.state_dict().items()}
    modes = [module.training for module in recognizer.modules()]
    Rev2Net(rev2net_cfg(), recognizer)
    assert [module.training for module in recognizer.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in recognizer.state_dict().items())
    assert not any(module._forward_hooks for module in recognizer.modules())


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        ("blocks.4", r"'blocks.4' gives \(256, 4, 2, 2\).*blocks.0 \(16, 8, 16, 16\).*blocks.2 \(64, 8, 8, 8\)"),
        ("blocks.5.output_pool", "'blocks.5.output_pool' gives .*blocks.2"),
        ("blocks.22", "no inner module 'blocks.22'"),
    ],
)
def test_taps_that_will_not_do(tap, message):
    recognizer = recognizer_of("r3d_small", num_frames=16, crop_size=32)
    with pytest.raises(ConfigError, match=message):
        Rev2Net(rev2net_cfg("REV2NET.TAP", tap), recognizer)


def test_no_feature_map_of_a_quarter():
    """34 -> 17 -> 9 pixels."""
    with pytest.raises(ConfigError, match=r"set REV2NET\.TAP.*blocks\.1 \(32, 8, 17, 17\)"):
        Rev2Net(rev2net_cfg(), recognizer_of("r3d_small", num_frames=16, crop_size=34))


def test_no_feature_map_at_all():
    """15 frames are no multiple of 8."""
    with pytest.raises(ConfigError, match="there is none"):
        Rev2Net(rev2net_cfg(), recognizer_of("r3d_small", num_frames=15, crop_size=32))
