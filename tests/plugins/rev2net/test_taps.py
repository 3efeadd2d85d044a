"""Where Rev2Net's decoders start, in the models of the catalogue."""

import re
from pathlib import Path

import pytest
import torch

import pvbias.plugins.classic_models
import pvbias.plugins.pytorchvideo_zoo
import pvbias.plugins.torchvision_zoo  # noqa: F401
from pvbias.config import get_cfg
from pvbias.engine import Step
from pvbias.errors import ConfigError
from pvbias.plugins.rev2net import Rev2Net, add_config
from pvbias.plugins.rev2net.reach import table, tap_of
from pvbias.registries import MODEL

from ..models import recognizer_of


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
        with recognizer.taps(objective.tap.name) as features:
            made = objective.decode(torch.empty(2, 3, 32, 224, 224))
    assert objective.tap.name == "Conv3d_2c_3x3"
    assert features[objective.tap.name].shape == (2, 192, 16, 56, 56)
    assert made.flow.shape == (2, 2, 32, 224, 224)
    assert made.frames.shape == (2, 3, 32, 224, 224)


@pytest.mark.parametrize(
    ("model", "frames", "size", "tap"),
    [
        ("slow_r50", 8, 224, "blocks.2"),
        ("x3d_s", 13, 160, "blocks.2"),
        ("r3d_18", 16, 112, "layer1"),
        ("r3d_small", 16, 64, "blocks.2"),
        ("torchvision_s3d", 32, 224, "features.3"),
        ("torchvision_r3d_18", 16, 112, "layer2"),
        ("r2plus1d_r50", 16, 224, "blocks.2"),
    ],
)
def test_default_taps(model, frames, size, tap):
    with torch.device("meta"):
        objective = Rev2Net(rev2net_cfg(), recognizer_of(model, num_frames=frames, crop_size=size))
        made = objective.decode(torch.empty(1, 3, frames, size, size))
    assert objective.tap.name == tap
    assert made.flow.shape == (1, 2, frames, size, size)
    assert made.frames.shape == (1, 3, frames, size, size)


@pytest.mark.parametrize(
    ("model", "frames", "size", "tap", "shape"),
    [
        ("mvit_base_16x4", 16, 224, "blocks.7", (384, 8, 14, 14)),
        ("torchvision_mvit_v1_b", 16, 224, "blocks.7", (384, 8, 14, 14)),
        ("torchvision_swin3d_t", 32, 224, "features.4.1", (384, 16, 14, 14)),
        ("torchvision_swin3d_s", 32, 224, "features.4.7", (384, 16, 14, 14)),
        ("slowfast_r50", 32, 224, "blocks.3", (1280 + 128 * 4, 8, 14, 14)),
    ],
)
def test_default_taps_of_transformers_and_of_several_pathways(model, frames, size, tap, shape):
    """Half of 16, 12 and 24 blocks; SlowFast's third stage, its slow pathway with what comes from the fast one."""
    assert (MODEL.get(model).clip_spec.num_frames, MODEL.get(model).clip_spec.crop_size) == (frames, size)
    found = tap_of(model)
    assert (found.name, found.layout.shape) == (tap, shape)


def test_the_table_in_the_readme():
    text = (Path(__file__).parents[3] / "plugins/rev2net/README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    python -m pvbias\.plugins\.rev2net\.reach (.*)$", text, re.MULTILINE)
    assert len(command.split()) >= 10
    assert table(command.split()) in text
    for model in ("slowfast_r50", "mvit_base_16x4"):
        assert tap_of(model).reach.share > 0.2


#: What comes before the default tap, by the beginning of its name.
BELOW = {
    "r3d_small": ("blocks.0.", "blocks.1.", "blocks.2."),
    "slowfast_r50": ("blocks.0.", "blocks.1.", "blocks.2.", "blocks.3."),
    "mvit_base_16x4": ("patch_embed.", "cls_positional_encoding.", *(f"blocks.{number}." for number in range(8))),
    "torchvision_swin3d_t": (
        "patch_embed.",
        *(f"features.{number}." for number in range(4)),
        "features.4.0",
        "features.4.1",
    ),
}


@pytest.mark.parametrize(
    ("model", "frames"), [("r3d_small", 8), ("slowfast_r50", 8), ("mvit_base_16x4", 4), ("torchvision_swin3d_t", 4)]
)
def test_a_step_changes_every_weight_below_the_tap(model, frames):
    """What the decoders are for: with their losses alone, all that comes before the tap learns, and nothing else."""
    recognizer = recognizer_of(model, num_frames=frames, crop_size=64).train()
    for parameter in recognizer.parameters():
        if parameter.dim() == 1:  # the last norm of a residual branch begins with zeros, which let nothing through
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    keys = ["REV2NET.CHANNELS", [4, 4], "REV2NET.HIGH_LEVEL", False]
    objective = Rev2Net(rev2net_cfg(*keys), recognizer).train()
    named = dict(recognizer.module.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    clips, flow = torch.rand(2, 3, frames, 64, 64), torch.randn(2, 2, frames, 64, 64)
    names, labels = ["a", "b"], torch.tensor([0, 1])
    step = Step(
        clips=clips,
        labels=labels,
        recognizer=recognizer,
        epoch=0.0,
        names=names,
        tracks={"flow": flow},
        features=objective.needs.features,
    )
    losses = objective.phases()[0].loss(step)
    optimizer = torch.optim.Adam(recognizer.parameters(), 0.01)  # whose steps are as long for small gradients
    (losses["flow"] + losses["frames"]).backward()
    optimizer.step()
    changed = {name for name, parameter in named.items() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in named if name.startswith(BELOW[model])}
    below = sum(named[name].numel() for name in changed)
    of_head = sum(parameter.numel() for parameter in recognizer.head.parameters())
    every = sum(parameter.numel() for parameter in named.values()) - of_head
    assert objective.tap.reach.share == pytest.approx(below / every)


@pytest.mark.parametrize(
    ("model", "tap", "message"),
    [
        (
            "slow_r50",
            "blocks.1",
            r"REV2NET\.TAP = 'blocks\.1' comes so early .* reach 11 of 53 layers, 0\.712 % .*blocks\.2 ",
        ),
        (
            "torchvision_swin3d_t",
            "patch_embed.proj",
            r"REV2NET\.TAP = .* reach 1 of 64 layers, 0\.0334 % .*features\.4\.5 ",
        ),
    ],
)
def test_a_tap_that_reaches_nearly_nothing(model, tap, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        Rev2Net(rev2net_cfg("REV2NET.TAP", tap), recognizer_of(model, num_frames=8, crop_size=224))


def test_weights_that_do_not_train_are_not_reached():
    recognizer = recognizer_of("r3d_small", num_frames=8, crop_size=32)
    recognizer.module.blocks[:3].requires_grad_(False)
    assert Rev2Net(rev2net_cfg(), recognizer).tap.name == "blocks.3"
    recognizer.module.blocks[:5].requires_grad_(False)
    with pytest.raises(ConfigError, match=r"set REV2NET\.TAP"):
        Rev2Net(rev2net_cfg(), recognizer)


def test_readers_are_told(tmp_path):
    recognizer = recognizer_of("r3d_small", num_frames=8, crop_size=32)
    objective = Rev2Net(rev2net_cfg("REV2NET.TAP", "blocks.3"), recognizer)
    assert (
        objective.description
        == "the decoders start at blocks.3 and reach 13 of 17 layers, 25.6 % of the encoder's weights"
    )


def test_a_step_of_a_3d_resnet():
    """Also from a tap half the clip's size."""
    for tap in ("", "blocks.1"):
        recognizer = recognizer_of("r3d_small", num_frames=16, crop_size=32).train()
        objective = Rev2Net(rev2net_cfg("REV2NET.CHANNELS", [4, 4], "REV2NET.TAP", tap), recognizer).train()
        step = Step(
            clips=torch.rand(2, 3, 16, 32, 32),
            labels=torch.tensor([0, 1]),
            recognizer=recognizer,
            epoch=0.0,
            names=["a", "b"],
            tracks={"flow": torch.zeros(2, 2, 16, 32, 32)},
            features=objective.needs.features,
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
        (
            "blocks.4",
            r"'blocks.4' gives \(256, 4, 3, 3\).*blocks.0 \(16, 8, 18, 18\).*blocks.2 \(64, 8, 9, 9\), 9 of 17 layers",
        ),
        ("blocks.5.output_pool", "'blocks.5.output_pool' gives .*blocks.2"),
        ("blocks.22", "no inner module 'blocks.22'"),
    ],
)
def test_taps_that_will_not_do(tap, message):
    recognizer = recognizer_of("r3d_small", num_frames=16, crop_size=36)
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
