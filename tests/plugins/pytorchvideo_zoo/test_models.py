"""The hub's models in the registry: same modules, same weights, same logits, at other sizes too."""

import math

import pytest
import torch
from pytorchvideo.models import hub
from torch import nn

import pvbias.plugins.pytorchvideo_zoo  # noqa: F401 (registers the models)
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import Recognizer, ZooModel
from pvbias.registries import MODEL
from pvbias.zoo import load_weights, save_weights

from ..models import recognizer_of, shapes

# Frames, sampling rate, training crop, and top-1 of PyTorchVideo's model zoo page (for SlowFast: of the fast pathway).
PUBLISHED = {
    "c2d_r50": (8, 8, 224, 71.46),
    "i3d_r50": (8, 8, 224, 73.27),
    "slow_r50": (8, 8, 224, 74.58),
    "slowfast_r50": (32, 2, 224, 76.94),
    "slowfast_r101": (32, 2, 224, 77.90),
    "slowfast_16x8_r101_50_50": (64, 2, 224, 78.70),
    "csn_r101": (32, 2, 224, 77.00),
    "r2plus1d_r50": (16, 4, 224, 76.01),
    "x3d_xs": (4, 12, 160, 69.12),
    "x3d_s": (13, 6, 160, 73.33),
    "x3d_m": (16, 5, 224, 75.94),
    "x3d_l": (16, 5, 312, 77.44),
    "mvit_base_16x4": (16, 4, 224, 78.9),
    "mvit_base_32x3": (32, 3, 224, 80.3),
}
#: Test crop and short side, where they are not 256 both.
TESTED = {
    "x3d_xs": (182, 182),
    "x3d_s": (182, 182),
    "x3d_l": (356, 356),
    "mvit_base_16x4": (224, 256),
    "mvit_base_32x3": (224, 256),
}
NAMES = sorted(PUBLISHED)
CONVOLUTIONAL = [name for name in NAMES if not name.startswith("mvit")]

#: (frames, crop) small enough for a test, one for each way of building.
SMALL = {
    "c2d_r50": (3, 32),
    "slow_r50": (2, 48),
    "r2plus1d_r50": (4, 32),
    "slowfast_r50": (8, 32),
    "x3d_xs": (3, 50),
    "mvit_base_16x4": (2, 32),
}


def weightless(name: str) -> Recognizer:
    """At the clips it was trained on, on the device that computes shapes only."""
    frames, _, crop, _ = PUBLISHED[name]
    with torch.device("meta"):
        return recognizer_of(name, num_classes=400, num_frames=frames, crop_size=crop)


def random_clips(num_frames: int, crop_size: int, num_clips: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (num_clips, 3, num_frames, crop_size, crop_size), dtype=torch.uint8)


def hub_module(name: str) -> nn.Module:
    """The hub's own convolutional model, weightless."""
    with torch.device("meta"):
        return getattr(hub, name)()


def random_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of the module's shapes, small and positive (a variance among them must be)."""
    return {
        name: 0.01 + 0.1 * torch.rand(value.shape)
        if value.is_floating_point()
        else torch.zeros_like(value, device="cpu")
        for name, value in module.state_dict().items()
    }


def pooling_windows(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(int(side) for side in inner.kernel_size)
        for name, inner in module.named_modules()
        if isinstance(inner, nn.AvgPool3d)
    }


def test_all_of_the_hubs_video_classifiers_are_registered():
    left_out = {"slow_r50_detection", "slowfast_r50_detection", "mvit_base_16", "efficient_x3d_s", "efficient_x3d_xs"}
    functions = {name for name in dir(hub) if callable(getattr(hub, name))}
    assert functions - left_out == set(NAMES)
    assert {name for name, model in MODEL if model.zoo == "pytorchvideo"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_clips_and_weights_are_the_published_ones(name):
    model: ZooModel = MODEL.get(name)
    spec, weights = model.clip_spec, model.weights["kinetics400"]
    assert (spec.num_frames, spec.sampling_rate, spec.crop_size, weights.top1) == PUBLISHED[name]
    assert (spec.mean, spec.std, spec.fps) == ((0.45,) * 3, (0.225,) * 3, 30.0)
    assert (spec.test_crop_size, spec.short_side) == TESTED.get(name, (256, 256))
    package = __import__(getattr(hub, name).__module__, fromlist=["checkpoint_paths"])
    assert weights.url == package.checkpoint_paths[name]
    assert weights.num_classes == 400


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_at_its_own_size_a_model_is_the_hubs_without_softmax(name):
    recognizer, bare = weightless(name), hub_module(name)
    assert shapes(recognizer.module) == shapes(bare)
    assert pooling_windows(recognizer.module) == pooling_windows(bare)
    assert not any(isinstance(inner, nn.Softmax) for inner in recognizer.module.modules())


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_shapes_at_the_training_and_the_test_crop(name):
    recognizer = weightless(name).eval()
    spec = recognizer.clip_spec
    for crop in (spec.crop_size, spec.test_crop_size):
        clip = torch.empty(1, 3, spec.num_frames, crop, crop, device="meta")
        with torch.no_grad(), recognizer.taps(recognizer.head_name, inputs=True) as features:
            assert recognizer(clip).shape == (1, 400)
        # The window slides over what a larger crop adds; features shrink 32-fold.
        added = math.ceil(crop / 32) - math.ceil(spec.crop_size / 32)
        assert features[recognizer.head_name].shape[1:4] == (1, 1 + added, 1 + added)


def test_mvits_weights_from_the_hub_and_back(tmp_path):
    """(tests/plugins/test_catalogue.py takes a step with each model; the others are the hub's at their own size.)"""
    frames, crop = SMALL["mvit_base_16x4"]
    size = {"spatial_size": crop, "temporal_size": frames}
    path = tmp_path / "weights.pyth"
    torch.save({"model_state": random_state(hub.mvit_base_16x4(head_num_classes=11, **size))}, path)
    recognizer = recognizer_of("mvit_base_16x4", num_classes=7, num_frames=frames, crop_size=crop)
    report = load_weights(recognizer, str(path))
    head = {f"{recognizer.head_name}.weight", f"{recognizer.head_name}.bias"}
    assert report.initialised.keys() == report.skipped.keys() == head
    save_weights(recognizer, path)
    exported = torch.load(path, weights_only=True)["model_state"]
    hub.mvit_base_16x4(head_num_classes=7, **size).load_state_dict(exported, strict=True, assign=True)


def test_logits_are_the_hubs_to_the_bit():
    frames, _, crop, _ = PUBLISHED["x3d_xs"]
    bare = hub.x3d_xs().eval()
    recognizer = recognizer_of("x3d_xs", num_classes=400, num_frames=frames, crop_size=crop).eval()
    recognizer.module.load_state_dict(bare.state_dict(), strict=True)
    clip = random_clips(frames, crop, num_clips=1)
    projected: list[torch.Tensor] = []
    bare.get_submodule(recognizer.head_name).register_forward_hook(lambda *call: projected.append(call[2]))
    with torch.no_grad():
        bare((clip.float() / 255 - 0.45) / 0.225)
        assert torch.equal(recognizer(clip), projected[0].flatten(1))


#: By the kernels of their next stages, which pool, convolve or stride over time. (X3D's stem does, too.)
FRAME_STAGES = {"c2d_r50": 2, "slow_r50": 3, "r2plus1d_r50": 1}


@pytest.mark.parametrize("name", [*SMALL, "i3d_r50", "csn_r101"])
def test_the_way_in_two_parts(name):
    frames, crop = SMALL.get(name, (8, 32))
    recognizer = recognizer_of(name, num_classes=5, num_frames=frames, crop_size=crop).eval()
    assert recognizer.num_frame_stages == FRAME_STAGES.get(name, 0)
    clips, chosen = random_clips(frames, crop), torch.tensor([frames - 1, 0])
    frozen = torch.stack([clip[:, [frame] * frames] for clip, frame in zip(clips, chosen, strict=True)])
    with torch.no_grad():
        assert torch.equal(recognizer.classify_features(recognizer.frame_features(clips)), recognizer(clips))
        torch.testing.assert_close(recognizer.frozen_logits(clips, chosen), recognizer(frozen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FRAME_STAGES)
def test_frozen_logits_in_training_mode(name):
    """Batch statistics over the one frame are those over its repetitions, up to rounding."""
    frames, crop = 4, 64
    recognizer = recognizer_of(name, num_classes=5, num_frames=frames, crop_size=crop).train()
    for module in recognizer.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    clips, chosen = random_clips(frames, crop), torch.tensor([frames - 1, 0])
    frozen = torch.stack([clip[:, [frame] * frames] for clip, frame in zip(clips, chosen, strict=True)])
    with torch.no_grad():
        torch.testing.assert_close(recognizer.frozen_logits(clips, chosen), recognizer(frozen), rtol=1e-3, atol=1e-4)


def test_a_larger_test_crop_averages_the_logits_of_all_windows():
    recognizer = recognizer_of("x3d_xs", num_classes=5, num_frames=2, crop_size=64).eval()
    clips = random_clips(2, 96)
    with torch.no_grad():
        logits = recognizer(clips)
        torch.testing.assert_close(recognizer.head(recognizer.embed(clips)), logits, rtol=1e-4, atol=1e-5)
        positions: list[torch.Tensor] = []
        recognizer.head.register_forward_hook(lambda *call: positions.append(call[2]))
        recognizer(clips)
    assert positions[0].shape == (2, 1, 2, 2, 5)
    torch.testing.assert_close(positions[0].mean(dim=(1, 2, 3)), logits)


def test_weights_of_another_clip_size_leave_mvits_positions_out(tmp_path):
    recognizer = recognizer_of("mvit_base_16x4", num_classes=5, num_frames=2, crop_size=32)
    positions = "cls_positional_encoding.pos_embed_spatial"
    state = recognizer.module.state_dict() | {positions: torch.zeros(1, 56 * 56, 96)}
    torch.save({"model_state": state}, tmp_path / "weights.pyth")
    report = load_weights(recognizer, str(tmp_path / "weights.pyth"))
    assert report.initialised == {positions: "shape (1, 3136, 96) in the file, (1, 64, 96) in the model"}
    assert report.head_loaded


def test_weights_of_another_architecture_are_refused(tmp_path):
    x3d = recognizer_of("x3d_xs", num_classes=5, num_frames=4, crop_size=32)
    path = save_weights(x3d, tmp_path / "x3d.pyth")
    slow = recognizer_of("slow_r50", num_classes=5, num_frames=2, crop_size=32)
    with pytest.raises(WeightsError, match=r"Check MODEL\.MODEL_NAME"):
        load_weights(slow, str(path))


@pytest.mark.parametrize(
    ("name", "num_frames", "crop_size", "message"),
    [
        ("c2d_r50", 1, 64, r"DATA\.NUM_FRAMES = 1: c2d_r50 pools over time and needs at least 2"),
        ("slowfast_r50", 6, 64, r"DATA\.NUM_FRAMES = 6: slowfast_r50 needs a multiple of 4"),
        ("mvit_base_16x4", 5, 64, r"DATA\.NUM_FRAMES = 5: mvit_base_16x4 needs an even number"),
        ("mvit_base_32x3", 4, 50, r"DATA\.TRAIN_CROP_SIZE = 50: mvit_base_32x3 .*multiple of 4"),
    ],
)
def test_sizes_an_architecture_cannot_take(name, num_frames, crop_size, message):
    with pytest.raises(ConfigError, match=message):
        recognizer_of(name, num_classes=5, num_frames=num_frames, crop_size=crop_size)
