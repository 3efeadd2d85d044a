"""SCUBA and SCUFO clips: exact masks, and what random numbers they depend on."""

import pytest
import torch

from pvbias.clips import modulation, view_seeds
from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_test_loader
from pvbias.errors import ConfigError

KEYS = {
    "MODEL.MODEL_NAME": "x3d_xs",
    "TEST.DATASET": "places_faces_mnist",
    "DECOUPLED.SIZE": 48,
    "DECOUPLED.FRAMES": 24,
    "DECOUPLED.TEST_VIDEOS": 3,
    "DATA.TRAIN_CROP_SIZE": 48,
    "DATA.TEST_CROP_SIZE": 48,
    "DATA.TEST_SHORT_SIDE": 48,
    "DATA.NUM_FRAMES": 8,
    "DATA.SAMPLING_RATE": 3,
    "DATA.TEMPORAL_SAMPLING": "rate",
    "DATA_LOADER.NUM_WORKERS": 0,
    "TEST.NUM_ENSEMBLE_VIEWS": 2,
    "TEST.NUM_SPATIAL_CROPS": 1,
    "TRAIN.ENABLE": False,
}


@pytest.fixture(scope="module")
def videos():
    """Made-up videos with their masks, whose truth is known."""
    cfg = complete(load_cfg(None, [str(each) for pair in KEYS.items() for each in pair]), num_classes=128)
    source = build_source(cfg, "test")
    return list(build_test_loader(cfg, source, rank=0, world_size=1, split="test", tracks=("mask",)))


def test_the_actor_is_where_the_mask_says_and_nothing_of_the_place_is_left(videos):
    assert len(videos) == 3
    for video in videos:
        seeds = view_seeds(0, video.record.name, len(video.clips))
        made = modulation("scuba").modulate(video.clips, seeds, video.tracks)
        actor = (video.tracks["mask"] > 0).expand_as(made)
        assert torch.equal(made[actor], video.clips[actor])
        # The face is a square of a quarter of the side.
        assert (actor.sum((3, 4)) == 12 * 12).all()
        for view, is_actor in zip(made, actor, strict=True):
            behind = ~is_actor[0]  # (T, H, W)
            assert len(view[:, behind].T.unique(dim=0)) == 2  # stripes are of two colours
            # They stand still: each pixel is the same in all frames that show it.
            still = torch.where(behind, view, 0).amax(1, keepdim=True).expand_as(view)
            assert torch.equal(view[:, behind], still[:, behind])


def test_scufo_repeats_a_frame_of_the_same_scuba_clip(videos):
    clips, masks, seeds = videos[0].clips, videos[0].tracks, [11, 12]
    moving = modulation("scuba").modulate(clips, seeds, masks)
    for frame, number in (("first", 0), ("middle", 4)):
        still = modulation(f"scufo(frame={frame})").modulate(clips, seeds, masks)
        assert torch.equal(still, moving[:, :, number : number + 1].expand_as(moving))
    still = modulation("scufo").modulate(clips, seeds, masks)
    assert (still == still[:, :, :1]).all()
    assert all(any(torch.equal(view[:, 0], of[:, t]) for t in range(8)) for view, of in zip(still, moving, strict=True))


def test_stripes_belong_to_the_seed(videos):
    clips, masks = videos[0].clips, videos[0].tracks
    scuba = modulation("scuba")
    both = scuba.modulate(clips, [5, 6], masks)
    swapped = scuba.modulate(clips.flip(0), [6, 5], {"mask": masks["mask"].flip(0)})
    assert torch.equal(both, swapped.flip(0))
    assert not torch.equal(both, scuba.modulate(clips, [5, 7], masks))
    assert both.is_contiguous(memory_format=torch.channels_last_3d)
    floats = scuba.modulate(clips.float() / 255, [5, 6], masks)
    torch.testing.assert_close(floats * 255, both.float(), rtol=0, atol=0.5001)


def test_flow_is_refused(videos):
    with pytest.raises(ConfigError, match="scuba is for clips that show RGB, and these have 2 channels"):
        modulation("scuba").modulate(videos[0].clips[:, :2], [0, 1], videos[0].tracks)
