"""torchvision's models in the registry: same modules, same weights, at other sizes too."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import get_model_builder, list_models, video
from torchvision.models.video import mvit

import pvbias.plugins.torchvision_zoo  # noqa: F401 (registers the models)
from pvbias.errors import ConfigError
from pvbias.models import Recognizer, ZooModel
from pvbias.registries import MODEL
from pvbias.zoo.fetching import find_weights

from .. import models
from ..models import shapes

#: Frames, frames per second, crop, short side, parameters and top-1 of torchvision's documentation.
PUBLISHED = {
    "r3d_18": (16, 15, 112, 128, 33_371_472, 63.200),
    "mc3_18": (16, 15, 112, 128, 11_695_440, 63.960),
    "r2plus1d_18": (16, 15, 112, 128, 31_505_325, 67.463),
    "s3d": (64, 15, 224, 256, 8_320_048, 68.368),
    "mvit_v1_b": (16, 7.5, 224, 256, 36_610_672, 78.477),
    "mvit_v2_s": (16, 7.5, 224, 256, 34_537_744, 80.757),
    "swin3d_t": (32, 15, 224, 256, 28_158_070, 77.715),
    "swin3d_s": (32, 15, 224, 256, 49_816_678, 79.521),
    "swin3d_b": (32, 15, 224, 256, 88_048_984, 79.427),
}
NAMES = sorted(PUBLISHED)


def entry_of(name: str) -> ZooModel:
    return MODEL.get(f"torchvision_{name}")


def recognizer_of(name: str, **sizes: int) -> Recognizer:
    return models.recognizer_of(f"torchvision_{name}", **sizes).eval()


def test_all_of_torchvisions_video_classifiers_are_registered():
    assert sorted(list_models(module=video)) == NAMES
    assert {name for name, entry in MODEL if entry.zoo == "torchvision"} == {f"torchvision_{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_clips_and_weights_are_the_published_ones(name):
    spec, weights = entry_of(name).clip_spec, entry_of(name).weights["kinetics400"]
    frames, fps, crop, short_side, _, top1 = PUBLISHED[name]
    assert (spec.num_frames, spec.duration) == (frames, frames / fps)
    assert (spec.crop_size, spec.test_crop_size, spec.short_side) == (crop, crop, short_side)
    assert (weights.num_classes, weights.top1) == (400, top1)
    if name.startswith("swin"):
        assert (spec.mean, spec.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    elif name.startswith("mvit"):
        assert (spec.mean, spec.std) == ((0.45,) * 3, (0.225,) * 3)
    else:
        assert (spec.mean, spec.std) == ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))


def test_several_weights_of_one_model():
    assert entry_of("swin3d_b").weights.keys() == {"kinetics400", "kinetics400_imagenet22k"}
    weights = find_weights("zoo://torchvision/torchvision_swin3d_b/kinetics400_imagenet22k")
    assert weights.url == "https://download.pytorch.org/models/swin3d_b_22k-7c6ae6fa.pth"
    assert weights.top1 == 81.643


@pytest.mark.parametrize("name", NAMES)
def test_at_its_own_size_a_model_is_torchvisions(name):
    frames, _, crop, _, parameters, _ = PUBLISHED[name]
    with torch.device("meta"):
        ours = recognizer_of(name, num_frames=frames, crop_size=crop, num_classes=400).module
        theirs = get_model_builder(name)()
    assert sum(value.numel() for value in ours.parameters()) == parameters
    assert shapes(ours) == shapes(theirs)
    # Layer for layer: the pooling window and the like have no weights.
    assert str(ours) == str(theirs)


@pytest.mark.parametrize(
    ("name", "frames", "crop"), [("r3d_18", 1, 17), ("mc3_18", 2, 33), ("r2plus1d_18", 5, 50), ("swin3d_t", 3, 50)]
)
def test_clips_of_any_size(name, frames, crop):
    with torch.device("meta"), torch.no_grad():
        recognizer = recognizer_of(name, num_frames=frames, crop_size=crop)
        with recognizer.taps(recognizer.head_name, inputs=True) as features:
            # A larger test crop, too.
            assert recognizer(torch.empty(2, 3, frames, crop + 16, crop + 7)).shape == (2, 5)
        assert features[recognizer.head_name].shape == (2, recognizer.head.in_features)


@pytest.mark.parametrize(
    ("frames", "crop", "window"),
    [(64, 224, (2, 7, 7)), (5, 17, (1, 1, 1)), (12, 112, (1, 3, 3)), (13, 113, (2, 4, 4)), (16, 256, (2, 8, 8))],
)
def test_s3ds_window_is_as_large_as_what_is_left_of_the_crop(frames, crop, window):
    with torch.device("meta"), torch.no_grad():
        recognizer = recognizer_of("s3d", num_frames=frames, crop_size=crop)
        assert recognizer.module.avgpool.kernel_size == window
        with recognizer.taps("features") as features:
            assert recognizer(torch.empty(1, 3, frames, crop, crop)).shape == (1, 5)
    left = features["features"].shape[2:]
    assert left[1:] == window[1:]
    assert window[0] == min(left[0], 2)


def test_s3d_averages_the_logits_of_all_windows():
    torch.manual_seed(0)
    recognizer = recognizer_of("s3d", num_frames=5, crop_size=32)
    clips = torch.rand(2, 3, 5, 64, 64)
    positions: list[torch.Tensor] = []
    recognizer.head.register_forward_hook(lambda *call: positions.append(call[2]))
    with torch.no_grad():
        logits, embedding = recognizer(clips), recognizer.embed(clips)
    assert positions[0].shape == (2, 5, 1, 2, 2)
    torch.testing.assert_close(positions[0].mean(dim=(2, 3, 4)), logits)
    torch.testing.assert_close(recognizer.head(embedding[:, :, None, None, None]).flatten(1), logits)


@pytest.mark.parametrize(
    ("frames", "crop", "message"),
    [
        (4, 64, r"DATA\.NUM_FRAMES = 4: S3D pools over time and needs at least 5"),
        (8, 16, r"DATA\.TRAIN_CROP_SIZE = 16: S3D halves frames five times and needs at least 17"),
    ],
)
def test_clips_of_which_s3d_leaves_nothing(frames, crop, message):
    with pytest.raises(ConfigError, match=message):
        recognizer_of("s3d", num_frames=frames, crop_size=crop)


@pytest.fixture
def of_three_blocks(monkeypatch):
    """Makes torchvision's MViT shallow, so that it is quick, and of the size given."""
    whole = mvit.MViT

    def change(**size):
        def shallow(*, block_setting, **options):
            return whole(block_setting=block_setting[:3], **(options | size))

        monkeypatch.setattr(mvit, "MViT", shallow)

    return change


@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s"])
def test_mvit_of_another_size_is_torchvisions_of_that_size(name, of_three_blocks):
    torch.manual_seed(0)
    of_three_blocks()
    ours = recognizer_of(name, num_frames=4, crop_size=32)
    of_three_blocks(temporal_size=4, spatial_size=(32, 32))
    theirs = get_model_builder(name)(num_classes=5).eval()

    state = ours.module.state_dict()
    for key, value in theirs.state_dict().items():
        if "rel_pos" in key:  # a table of relative positions, longer in ours
            state[key] = F.interpolate(state[key].T[None], size=len(value), mode="linear")[0].T
    theirs.load_state_dict(state, strict=True)
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), theirs(ours.normalize(clips)))


@pytest.mark.parametrize(("frames", "crop"), [(1, 20), (5, 50)])
@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s"])
def test_mvit_takes_clips_that_its_patches_do_not_divide(name, frames, crop, of_three_blocks):
    of_three_blocks()
    recognizer = recognizer_of(name, num_frames=frames, crop_size=crop)
    with torch.no_grad():
        assert recognizer(torch.rand(2, 3, frames, crop, crop)).shape == (2, 5)


def test_published_weights_of_mvitv2_fit_clips_of_any_size_and_of_mvitv1_all_but_positions():
    for name, anew in (("mvit_v1_b", {"pos_encoding.temporal_pos", "pos_encoding.spatial_pos"}), ("mvit_v2_s", set())):
        with torch.device("meta"):
            ours = shapes(recognizer_of(name, num_frames=5, crop_size=50, num_classes=400).module)
            theirs = shapes(get_model_builder(name)())
        assert ours.keys() == theirs.keys()
        assert {key for key in ours if ours[key] != theirs[key]} == anew
