"""Class activation and the frames that move a model most, on networks that are told what to look for."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pvbias.clips import ClipSpec, slow_fast_pathways
from pvbias.config import get_cfg
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.attribution import TemporalActivation, class_activation
from pvbias.plugins.attribution.grad_cam import (
    FeatureMap,
    NoFeatureMapError,
    feature_before_last_stage,
    last_feature_map,
)
from pvbias.registries import MODEL
from tests.evaluation.toys import as_outputs

SPEC = ClipSpec(num_frames=8, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8, mean=(0,) * 3, std=(1,) * 3)


@pytest.fixture
def cfg():
    return get_cfg()


class Small(nn.Module):
    """A convolution that can be told what to look for, what usually follows it, average pooling, a linear layer."""

    def __init__(self, channels=4, num_classes=3, stride=1):
        super().__init__()
        self.conv = nn.Conv3d(3, channels, 3, padding=1, stride=stride)
        self.norm = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(channels, num_classes)

    def features(self, clips):
        return self.relu(self.norm(self.conv(clips)))

    def forward(self, clips):
        return self.head(self.dropout(self.pool(self.features(clips)).flatten(1)))


def small(**options):
    torch.manual_seed(0)
    return Recognizer(Small(**options), clip_spec=SPEC, head="head")


def bright_spot(frame, row, column, *, frames=8, size=8):
    """Black, but for one white pixel in one frame."""
    clip = torch.zeros(3, frames, size, size, dtype=torch.uint8)
    clip[:, frame, row, column] = 255
    return clip


def spot_detector(stride=1):
    """Channel 0 sees what is bright, channel 1 nothing; class 1 is what is bright."""
    recognizer = small(channels=2, num_classes=2, stride=stride)
    with torch.no_grad():
        for parameter in recognizer.parameters():
            parameter.zero_()
        recognizer.module.conv.weight[0, :, 1, 1, 1] = 1
        recognizer.module.norm.weight.fill_(1)
        recognizer.module.head.weight.copy_(torch.tensor([[-1.0, 0], [1.0, 0]]))
    return recognizer


def test_class_activation_is_cam_where_the_head_is_pooling_and_a_linear_layer():
    recognizer = small().eval()
    clip = torch.rand(3, 6, 5, 7)
    for label in range(3):
        found = class_activation(recognizer, clip, label)
        with torch.no_grad():
            features = recognizer.module.features(recognizer.normalize(clip[None]))[0]
        cam = torch.einsum("d,dthw->thw", recognizer.module.head.weight[label], features).relu()
        assert cam.max() > 0
        torch.testing.assert_close(found, cam.detach() / cam.max())


def test_channels_are_weighted_by_their_mean_gradient():
    """Channel 0 is at the left place, channel 1 at the right one; their mean gradients are 1 and 2."""
    features = torch.eye(2).view(2, 1, 1, 2)
    gradient = torch.tensor([[4.0, -2.0], [2.0, 2.0]]).view(2, 1, 1, 2)
    assert FeatureMap(features, gradient).class_activation((1, 1, 2)).flatten().tolist() == [0.5, 1.0]


def test_class_activation_marks_the_place_and_the_moment():
    found = class_activation(spot_detector(), bright_spot(5, 2, 6), 1)
    expected = torch.zeros(8, 8, 8)
    expected[5, 2, 6] = 1
    torch.testing.assert_close(found, expected)
    # Nothing speaks for the other class.
    assert torch.equal(class_activation(spot_detector(), bright_spot(5, 2, 6), 0), torch.zeros(8, 8, 8))


def test_a_coarser_map_is_spread_over_the_clip():
    """Strides 2: frame 4, row 2 and column 6 are the middle one of the map's frame 2, row 1 and column 3."""
    found = class_activation(spot_detector(stride=2), bright_spot(4, 2, 6), 1)
    assert found.shape == (8, 8, 8)
    assert found.max() == 1
    assert np.unravel_index(int(found.argmax()), (8, 8, 8)) in {
        (t, y, x) for t in (4, 5) for y in (2, 3) for x in (6, 7)
    }
    assert found[:3].max() == 0


def test_the_recognizer_stays_as_it_is():
    recognizer = small().train()
    recognizer.module.norm.eval()  # as in a training with frozen BatchNorm
    recognizer.module.head.requires_grad_(False)
    state = {name: value.clone() for name, value in recognizer.state_dict().items()}
    modes = [module.training for module in recognizer.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in recognizer.modules()]
    clip = torch.rand(3, 8, 8, 8)
    before = clip.clone()
    with torch.inference_mode():
        class_activation(recognizer, clip, 1)
    class_activation(recognizer, clip, 1)
    assert all(torch.equal(value, state[name]) for name, value in recognizer.state_dict().items())
    assert [module.training for module in recognizer.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in recognizer.modules()] == hooks
    assert all(parameter.grad is None for parameter in recognizer.parameters())
    assert [name for name, p in recognizer.named_parameters() if not p.requires_grad] == [
        "module.head.weight",
        "module.head.bias",
    ]
    assert torch.equal(clip, before)
    assert not clip.requires_grad
    assert clip.grad is None


def test_frozen_parameters_and_either_kind_of_clip():
    recognizer = small().requires_grad_(False)
    clip = torch.randint(256, (3, 8, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(
        class_activation(recognizer, clip, 2), class_activation(recognizer, clip.float() / 255, 2)
    )


@pytest.mark.gpu
def test_on_a_gpu_the_same():
    recognizer = small()
    clip = torch.rand(3, 8, 8, 8)
    expected = class_activation(recognizer, clip, 1)
    torch.testing.assert_close(class_activation(recognizer.cuda(), clip, 1), expected, atol=1e-3, rtol=1e-3)


class TwoPathways(nn.Module):
    """Every fourth frame, and all frames; the block gives a list, as PyTorchVideo's do. Either may come last."""

    def __init__(self, slow_last):
        super().__init__()
        self.slow_last = slow_last
        self.stage = nn.Module()
        self.slow, self.fast = nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1)), nn.Conv3d(3, 2, 3, padding=1)
        self.block = Both(self)
        self.head = nn.Linear(6, 3)

    def forward(self, pathways):
        return self.head(torch.cat([maps.relu().mean((2, 3, 4)) for maps in self.block(pathways)], 1))


class Both(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.convolutions = nn.ModuleList([network.slow, network.fast])
        self.order = (1, 0) if network.slow_last else (0, 1)

    def forward(self, pathways):
        for number in self.order:
            pathways[number] = self.convolutions[number](pathways[number])
        return pathways


@pytest.mark.parametrize("slow_last", [False, True])
def test_of_two_pathways_the_one_with_most_frames(slow_last):
    recognizer = Recognizer(TwoPathways(slow_last), clip_spec=SPEC, head="head", pathways=slow_fast_pathways(alpha=4))
    found = last_feature_map(recognizer, torch.rand(3, 8, 8, 8), 0)
    assert found.features.shape == found.gradient.shape == (2, 8, 8, 8)


class Tokens(nn.Module):
    """Patches, and a layer on each, without a normalisation of tokens."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv3d(3, 4, 2, stride=2)
        self.mlp = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, clips):
        return self.head(self.mlp(self.patches(clips).flatten(2).mT).mean(1))


class PerFrame(nn.Module):
    """No convolution at all."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, clips):
        return self.head(clips.mean((2, 3, 4)))


@pytest.mark.parametrize("module", [Tokens(), PerFrame()])
def test_models_without_feature_maps(cfg, module):
    reason = "neither a last convolution over space and time"
    recognizer = Recognizer(module, clip_spec=SPEC, head="head")
    with pytest.raises(NoFeatureMapError, match=reason):
        class_activation(recognizer, torch.rand(3, 8, 8, 8), 0)
    result = activations(cfg, recognizer, [bright_spot(0, 0, 0)])
    assert reason in result.not_applicable
    assert not result.tables


def activations(cfg, recognizer, clips, labels=None, predicted=1, names=("dark", "bright")):
    """Each clip is the middle one of a video's three views; the others show nothing."""
    evaluator = TemporalActivation(cfg, recognizer, names)
    assert evaluator.needs.modulations == ("original",)
    recognizer.eval()
    for index, clip in enumerate(clips):
        views = torch.stack([torch.zeros_like(clip), clip, torch.zeros_like(clip)])
        logits = torch.zeros(3, recognizer.num_classes)
        logits[1, predicted] = 1
        label = labels[index] if labels else None
        evaluator.process(
            VideoViews(index=index, name=f"{index}.mp4", label=label, clips=views), as_outputs({"original": logits})
        )
    return evaluator.evaluate()


def picture(result, row, column):
    return np.asarray(Image.open(io.BytesIO(result.images[row[column]])).convert("RGB")).astype(int)


def is_red(pixel):
    red, green, blue = pixel
    return red > 150 and green < 100 and blue < 100


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_the_frame_that_moves_the_model_most_is_found_and_drawn(cfg, frame):
    """A dim spot wanders along the diagonal; in one frame it is bright."""
    clip = torch.zeros(3, 8, 8, 8, dtype=torch.uint8)
    for t in range(8):
        clip[:, t, t, t] = 255 if t == frame else 100
    result = activations(cfg, spot_detector(), [clip], labels=[0])
    (row,) = result.tables["activations"]
    assert {key: row[key] for key in ("video", "label", "predicted", "variant", "peak_frames")} == {
        "video": "0.mp4",
        "label": "dark",
        "predicted": "bright",
        "variant": "original",
        "peak_frames": str(frame),
    }
    assert set(result.images) == {row["footprint"], row["strip"]}

    footprint = picture(result, row, "footprint")
    cell = len(footprint) / 8
    for t in range(8):
        pixel = footprint[int((t + 0.5) * cell), int((t + 0.5) * cell)]
        assert is_red(pixel) == (t == frame)
        if t != frame:
            assert pixel.max() - pixel.min() < 12  # grey
            assert 40 < pixel.mean() < 130

    strip = picture(result, row, "strip")
    width = strip.shape[1] / 8
    middles = [int((t + 0.5) * width) for t in range(8)]
    assert [is_red(strip[-2, x]) for x in middles] == [t == frame for t in range(8)]  # feet of the bars
    # The others are 100 / 255 as high: at 70 % of the bars' height there is only the highest.
    top = strip[-15]
    assert [is_red(top[x]) for x in middles] == [t == frame for t in range(8)]
    assert all(top[x].min() > 225 for t, x in enumerate(middles) if t != frame)


def test_a_moment_of_the_map_stands_for_as_many_frames(cfg):
    result = activations(cfg, spot_detector(stride=2), [bright_spot(4, 2, 2)])
    assert result.tables["activations"][0]["peak_frames"] == "4, 5"
    assert result.tables["activations"][0]["label"] == ""


def test_a_clip_that_stands_still_has_no_single_peak(cfg):
    clip = torch.full((3, 8, 8, 8), 90, dtype=torch.uint8)
    result = activations(cfg, spot_detector(), [clip])
    assert result.tables["activations"][0]["peak_frames"] == ", ".join(map(str, range(8)))


def test_over_a_bright_background_only_what_moves_is_red(cfg):
    """A spot that is darker than the place moves; another one, white, is in frame 5 only."""
    clip = torch.full((3, 8, 8, 8), 180, dtype=torch.uint8)
    for t in range(8):
        clip[:, t, t, t] = 20
    clip[:, 5, 0, 7] = 255
    result = activations(cfg, spot_detector(), [clip])
    (row,) = result.tables["activations"]
    assert row["peak_frames"] == "5"
    footprint = picture(result, row, "footprint")
    cell = len(footprint) / 8
    red = {
        (y, x) for y in range(8) for x in range(8) if is_red(footprint[int((y + 0.5) * cell), int((x + 0.5) * cell)])
    }
    assert red == {(5, 5)}  # further from the background than the white one, which is pink


def test_the_strip_is_warm_where_the_class_is_seen(cfg):
    result = activations(cfg, spot_detector(), [bright_spot(5, 2, 6)])
    strip = picture(result, result.tables["activations"][0], "strip")
    cell = strip.shape[1] / 64
    warm = [strip[int(2.5 * cell), int((8 * t + 6.5) * cell)] for t in range(8)]
    assert [red > blue + 40 for red, _, blue in warm] == [t == 5 for t in range(8)]


def test_shown_are_the_first_videos_of_eight_classes(cfg):
    labels = [0, 0, 1, 2, 1, 3, 4, 5, 6, 7, 8, 9]
    clips = [bright_spot(0, 0, 0)] * len(labels)
    recognizer = small(num_classes=10)
    result = activations(cfg, recognizer, clips, labels, names=[f"class {k}" for k in range(10)])
    shown = [(row["video"], row["label"]) for row in result.tables["activations"]]
    assert shown == [
        (f"{index}.mp4", f"class {label}") for label, index in enumerate((0, 2, 3, 5, 6, 7, 8, 9))
    ]  # fmt: skip
    assert len(result.images) == 16


def test_short_clips_show_all_their_frames(cfg):
    clip = torch.zeros(3, 2, 8, 8, dtype=torch.uint8)
    clip[:, 1, 3, 3] = 255
    result = activations(cfg, spot_detector(), [clip])
    row = result.tables["activations"][0]
    assert row["peak_frames"] == "1"
    strip = picture(result, row, "strip")
    assert 2 * 64 <= strip.shape[1] < 3 * 64


@pytest.mark.parametrize("name", ["x3d_xs", "slow_r50", "csn_r101", "r2plus1d_r50"])
def test_the_last_stage_alone_gives_the_same_map(name):
    """Of the zoo's models, from the features that came with the logits."""
    load_plugins()
    torch.manual_seed(0)
    model = MODEL.get(name)
    spec = model.clip_spec.replace(num_frames=4, crop_size=64, test_crop_size=64, short_side=64)
    module = model.build(num_classes=5, num_frames=4, crop_size=64)
    recognizer = Recognizer(module, clip_spec=spec, head=model.head, stages=model.stages).eval()
    for parameter in recognizer.parameters():  # the last norm of a residual branch begins with zeros
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    clip = torch.rand(3, 4, 64, 64)
    before = feature_before_last_stage(recognizer)
    assert before
    with torch.inference_mode():
        known = recognizer.outputs(clip[None], (before,)).features[before][0]
    forwards = []
    recognizer.module.register_forward_hook(lambda *_: forwards.append(1))
    found = last_feature_map(recognizer, clip, 2, last_stage_input=known)
    assert not forwards
    expected = last_feature_map(recognizer, clip, 2)
    assert len(forwards) == 1
    torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=1e-4, atol=1e-6)
