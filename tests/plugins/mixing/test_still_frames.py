"""Still frames added to clips: weights and frames by hand, the label, each clip for itself, with any objective."""

import pytest
import torch

from pvbias.config import complete
from pvbias.engine import MiniBatch
from pvbias.engine.transform import apply_transforms, check_transforms
from pvbias.errors import ConfigError
from pvbias.needs import Needs
from pvbias.plugins.mixing import BackgroundErasing, StillMix, StillMixBatch
from pvbias.registries import STUDENT
from tests.engine.toys import tiny_recognizer

from .small import MeanColour, losses, small_cfg

ALL = [StillMix, StillMixBatch, BackgroundErasing]


def made(kind, folder, *overrides):
    transform = kind(complete(small_cfg(folder, *overrides), num_classes=10), tiny_recognizer())
    transform.bank = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    return transform


def batch_of(count=200, **fields):
    """Clips whose frames are of the values 0, 1/3, 2/3 and 1."""
    names = [f"{n}.mp4" for n in range(count)]
    clips = torch.linspace(0, 1, 4).view(1, 1, 4, 1, 1).expand(count, 3, 4, 8, 8).contiguous()
    return MiniBatch(clips=clips, labels=torch.arange(count) % 3, names=names, **fields)


def mixed(transform, batch, epoch=0.5):
    return apply_transforms([transform], batch, rng_seed=0, epoch=epoch)


def test_clips_are_mixed_with_the_banks_frames_and_labels_stay(tmp_path):
    """A white frame and lambda of a half, or nearly: half of the clips go from 0 .. 1 to 1/2 .. 1."""
    transform = made(StillMix, tmp_path, "STILL_MIX.ALPHA", 1e6)
    batch = batch_of()
    found = mixed(transform, batch)
    assert found.labels is batch.labels
    is_mixed = found.clips[:, 0, 0, 0, 0] > 0
    assert 80 < is_mixed.sum() < 120  # of 200, by coin
    assert torch.equal(found.clips[~is_mixed], batch.clips[~is_mixed])
    torch.testing.assert_close(found.clips[is_mixed], 0.5 + 0.5 * batch.clips[is_mixed], atol=0.01, rtol=0)


def test_weights_are_of_the_beta_distribution(tmp_path):
    """Beta(200, 200): mean 1/2, variance 1 / (4 * 401)."""
    transform = made(StillMix, tmp_path, "STILL_MIX.PROB", 1.0)
    transform.bank = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)  # of another size
    weights = 1 - mixed(transform, batch_of(2000)).clips[:, 0, 0, 0, 0].double()
    assert weights.mean().item() == pytest.approx(0.5, abs=0.002)
    assert weights.var().item() == pytest.approx(1 / 1604, rel=0.1)


@pytest.mark.parametrize("kind", [StillMix, BackgroundErasing])
def test_a_clip_is_mixed_alike_in_any_mini_batch(kind, tmp_path):
    transform = made(kind, tmp_path)
    transform.bank = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8)
    all_of_them, some = batch_of(), batch_of(30)
    assert torch.equal(mixed(transform, all_of_them).clips[:30], mixed(transform, some).clips)
    assert not torch.equal(mixed(transform, some).clips, mixed(transform, some, epoch=0.75).clips)


def test_in_the_mini_batch_the_frame_is_a_random_one_of_a_random_other_clip(tmp_path):
    """Frame t of clip n is of value (4 n + t) / 16: which frame was added with which weight can be told."""
    transform = made(StillMixBatch, tmp_path, "STILL_MIX.PROB", 1.0, "STILL_MIX.ALPHA", 1e9)
    clips = (torch.arange(12.0).view(3, 1, 4, 1, 1) / 16).expand(-1, 3, -1, 8, 8).contiguous()
    batch = MiniBatch(clips=clips, labels=torch.arange(3), names=["a", "b", "c"])
    added = []
    for epoch in range(40):
        still = 2 * mixed(transform, batch, epoch).clips - clips  # lambda is a half
        torch.testing.assert_close(still, still[:, :, :1, :1, :1].expand_as(still), atol=1e-3, rtol=0)
        added.append((16 * still[:, 0, 0, 0, 0]).round().int().tolist())
    for own, frames in enumerate(zip(*added, strict=True)):
        assert set(frames) == set(range(12)) - set(range(4 * own, 4 * own + 4))


def test_a_frame_of_the_same_clip_is_added_with_a_small_weight(tmp_path):
    """(1 - gamma) x_t + gamma x_k keeps differences of frames up to the factor 1 - gamma."""
    transform = made(BackgroundErasing, tmp_path, "BACKGROUND_ERASING.PROB", 1.0)
    clips = torch.tensor([0.0, 0.1, 0.4, 1.0]).view(1, 1, 4, 1, 1).expand(1000, 3, 4, 8, 8).contiguous()
    found = mixed(transform, MiniBatch(clips=clips, labels=torch.zeros(1000), names=[str(n) for n in range(1000)]))
    series = found.clips[:, 0, :, 0, 0]
    weights = 1 - (series[:, 3] - series[:, 0])
    assert 0 <= weights.min() < 0.005
    assert 0.295 < weights.max() <= 0.3
    assert weights.mean().item() == pytest.approx(0.15, abs=0.01)
    added = (series[:, 0] / weights)[weights > 0.01]
    near = (added[:, None] - torch.tensor([0.0, 0.1, 0.4, 1.0])).abs()
    assert near.amin(1).max() < 1e-3
    assert near.argmin(1).bincount().tolist() == pytest.approx([len(added) / 4] * 4, rel=0.2)


@pytest.mark.parametrize("kind", ALL)
def test_memory_format_and_tracks_stay(kind, tmp_path):
    flow = torch.zeros(200, 2, 4, 8, 8)
    batch = batch_of(tracks={"flow": flow})
    batch = MiniBatch(**{**vars(batch), "clips": batch.clips.contiguous(memory_format=torch.channels_last_3d)})
    before = batch.clips.clone()
    found = mixed(made(kind, tmp_path), batch)
    assert found.tracks["flow"] is flow  # what moves is where it was
    assert found.clips.is_contiguous(memory_format=torch.channels_last_3d)
    assert not torch.equal(found.clips, before)
    assert torch.equal(batch.clips, before)


@pytest.mark.parametrize(("kind", "others"), [(StillMix, True), (StillMixBatch, True), (BackgroundErasing, False)])
def test_attributes_of_clips_with_another_videos_frame_are_lost(kind, others, tmp_path):
    named = [("it", made(kind, tmp_path))]
    if not others:
        check_transforms(named, Needs(attributes=("place",)))
        return
    with pytest.raises(ConfigError, match="the attribute 'place'"):
        check_transforms(named, Needs(attributes=("place",)))


@pytest.mark.parametrize("kind", ALL)
def test_optical_flow_is_refused(kind, tmp_path):
    cfg = complete(small_cfg(tmp_path), num_classes=10).clone()
    cfg.defrost()
    cfg.DATA.MODALITY = "rgb+flow"
    with pytest.raises(ConfigError, match=r"is for colours, and DATA\.MODALITY = 'rgb\+flow'"):
        kind(cfg, tiny_recognizer())


def test_in_the_mini_batch_there_has_to_be_another_clip(tmp_path):
    with pytest.raises(ConfigError, match=r"BATCH_SIZE = 1 each of 1 processes has one"):
        made(StillMixBatch, tmp_path, "TRAIN.BATCH_SIZE", 1)


def test_with_an_objective_of_two_phases(tmp_path):
    restore = STUDENT.snapshot()
    STUDENT.register(MeanColour, name="mean_colour")
    names = ("STUDENT.NAME", "mean_colour", "OBJECTIVE.NAME", "DRLDistill", "TRAIN.TRANSFORMS", "['still_mix']")
    trained = [losses(small_cfg(tmp_path / str(prob), *names, "STILL_MIX.PROB", prob)) for prob in (0.0, 1.0)]
    restore()
    assert trained[0] != trained[1]
