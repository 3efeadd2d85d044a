"""Colour jitter, RandAugment, MixUp, CutMix, VideoMix: labels as the pixels say, random numbers by video."""

import pytest
import torch

from pvbias.engine import CrossEntropy, MiniBatch
from pvbias.engine.transform import apply_transforms
from pvbias.errors import ConfigError
from pvbias.plugins.mixing import (
    ColorJitter,
    CutMix,
    MixUp,
    RandAugment,
    SpatiotemporalVideoMix,
    TemporalVideoMix,
    add_config,
)
from pvbias.registries import TRANSFORM
from tests.engine.toys import CLASSES, FakeLoader, make_cfg, make_trainer, tiny_recognizer, weights


def cfg_with(folder, **keys):
    cfg = make_cfg(folder)
    add_config(cfg)
    for key, value in keys.items():
        group, _, name = key.partition("__")
        cfg[group][name] = value
    return cfg


def batch_of(count=4, side=8, frames=4, **fields):
    """Clip n is of value n / 8 throughout, its class n % 3."""
    clips = torch.arange(count)[:, None, None, None, None].expand(-1, 3, frames, side, side) / 8
    names = [f"{n}.mp4" for n in range(count)]
    return MiniBatch(clips=clips.contiguous(), labels=torch.arange(count) % CLASSES, names=names, **fields)


def changed(transform, batch, epoch=0.5, seed=0):
    return apply_transforms([transform], batch, rng_seed=seed, epoch=epoch)


@pytest.mark.parametrize("kind", [MixUp, CutMix, TemporalVideoMix, SpatiotemporalVideoMix])
def test_labels_are_mixed_as_pixels_are(kind, tmp_path):
    """Clips of one value each: the mean of a mixed clip tells how much of which is in it."""
    transform, batch = kind(cfg_with(tmp_path), tiny_recognizer()), batch_of(frames=16)
    shares = set()
    for epoch in range(20):
        mixed = changed(transform, batch, epoch)
        own = mixed.labels[1, 1].item()  # of the second clip, class 1, with the first one, class 0
        assert mixed.labels[1, 0].item() == pytest.approx(1 - own)
        values = torch.arange(4) / 8
        expected = own * values + (1 - own) * values.roll(1)
        torch.testing.assert_close(mixed.clips.mean((1, 2, 3, 4)), expected)
        torch.testing.assert_close(mixed.labels.sum(1), torch.ones(4))
        shares.add(round(own, 4))
    assert len(shares) > 10


def test_cutmix_pastes_one_rectangle_into_all_frames(tmp_path):
    transform, batch = CutMix(cfg_with(tmp_path), tiny_recognizer()), batch_of(side=16)
    mixed = changed(transform, batch)
    pasted = (mixed.clips[1] == 0).all(0)  # (T, H, W)
    assert torch.equal(pasted, pasted[:1].expand_as(pasted))
    rows, columns = pasted[0].any(1).nonzero()[:, 0], pasted[0].any(0).nonzero()[:, 0]
    assert pasted[0].sum() == len(rows) * len(columns) > 0
    assert len(rows) == rows[-1] - rows[0] + 1
    assert mixed.labels[1, 0].item() == pytest.approx(pasted[0].float().mean().item())


@pytest.mark.parametrize(("kind", "whole"), [(TemporalVideoMix, True), (SpatiotemporalVideoMix, False)])
def test_videomix_pastes_successive_frames(kind, whole, tmp_path):
    """Whole ones, or a rectangle of them: one box, that of the label's share. Some boxes end in the clip."""
    transform, batch = kind(cfg_with(tmp_path), tiny_recognizer()), batch_of(frames=16)
    inner = 0
    for epoch in range(20):
        mixed = changed(transform, batch, epoch)
        pasted = (mixed.clips[1] == 0).all(0)  # (T, H, W)
        assert mixed.labels[1, 0].item() == pytest.approx(pasted.float().mean().item(), abs=1e-6)
        spans = [pasted.any(2).any(1), pasted.any(2).any(0), pasted.any(1).any(0)]
        sizes = [int(span.sum()) for span in spans]
        assert pasted.sum() == sizes[0] * sizes[1] * sizes[2]
        for span in spans:
            assert span.diff().sum() <= 2  # one stretch
        assert not whole or sizes[1:] in ([8, 8], [0, 0])
        inner += 0 < sizes[0] < 16
    assert inner > 8


def test_with_probability_zero_clips_stay(tmp_path):
    batch = batch_of()
    mixed = changed(MixUp(cfg_with(tmp_path, MIXUP__PROB=0.0), tiny_recognizer()), batch)
    assert torch.equal(mixed.clips, batch.clips)
    assert torch.equal(mixed.labels, torch.eye(CLASSES)[batch.labels])


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_a_clip_without_another_one_to_mix_it_with(kind, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"BATCH_SIZE = 1 each of 1 processes has one.*at least 2"):
        kind(cfg_with(tmp_path, TRAIN__BATCH_SIZE=1), tiny_recognizer())
    monkeypatch.setattr("pvbias.plugins.mixing.transforms.get_world_size", lambda: 4)
    with pytest.raises(ConfigError, match=r"BATCH_SIZE = 4 each of 4 processes has one.*at least 8"):
        kind(cfg_with(tmp_path), tiny_recognizer())


def test_soft_labels_are_mixed_again(tmp_path):
    mix = MixUp(cfg_with(tmp_path), tiny_recognizer())
    twice = apply_transforms([mix, mix], batch_of(), rng_seed=0, epoch=0.5)
    torch.testing.assert_close(twice.labels.sum(1), torch.ones(4))
    assert (twice.labels[2] > 0).all()  # itself, its neighbour, and that one's


@pytest.mark.parametrize("kind", [ColorJitter, RandAugment])
def test_a_clip_is_augmented_by_its_own_seed(kind, tmp_path):
    """In any mini-batch, in any place; another way in another step; all frames alike."""
    transform = kind(cfg_with(tmp_path), tiny_recognizer())
    torch.manual_seed(0)
    picture = torch.rand(3, 1, 16, 16).expand(-1, 4, -1, -1)
    batch = MiniBatch(clips=torch.stack([picture] * 3), labels=torch.arange(3), names=["a", "b", "c"])
    made = changed(transform, batch)
    alone = changed(transform, MiniBatch(clips=batch.clips[:1], labels=batch.labels[:1], names=["c"]))
    assert torch.equal(made.clips[2], alone.clips[0])
    assert not torch.equal(made.clips[0], made.clips[1])
    assert not torch.equal(made.clips, changed(transform, batch, epoch=0.75).clips)
    assert torch.equal(made.clips, made.clips[:, :, :1].expand_as(made.clips))
    assert made.clips.min() >= 0
    assert made.clips.max() <= 1


def test_it_takes_nothing_from_other_random_numbers(tmp_path):
    transform = MixUp(cfg_with(tmp_path), tiny_recognizer())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    changed(transform, batch_of())
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(("kind", "keeps_attributes"), [(MixUp, False), (CutMix, False), (RandAugment, True)])
def test_what_accompanied_the_clips_is_lost(kind, keeps_attributes, tmp_path):
    transform = kind(cfg_with(tmp_path), tiny_recognizer())
    assert changed(transform, batch_of(tracks={"mask": torch.zeros(4, 1, 4, 8, 8)})).tracks == {}
    assert transform.keeps_attributes is keeps_attributes


@pytest.mark.parametrize("kind", [ColorJitter, RandAugment])
def test_colours_of_flow_are_refused(kind, tmp_path):
    with pytest.raises(ConfigError, match=r"for colours, and DATA\.MODALITY is 'flow'"):
        kind(cfg_with(tmp_path, DATA__MODALITY="flow"), tiny_recognizer())


def test_rand_augment_of_rgb_and_flow_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"for colours, and DATA\.MODALITY = 'rgb\+flow'"):
        RandAugment(cfg_with(tmp_path, DATA__MODALITY="rgb+flow"), tiny_recognizer())


def test_random_brightness_is_a_factor(tmp_path):
    """The same for all frames of a clip, up to the strength; flow behind RGB and tracks beside it stay as they are."""
    others = {f"COLOR_JITTER__{name}": 0.0 for name in ("CONTRAST", "SATURATION", "HUE")}
    jitter = ColorJitter(cfg_with(tmp_path, COLOR_JITTER__BRIGHTNESS=0.25, **others), tiny_recognizer())
    flow = torch.rand(64, 2, 4, 8, 8)
    clips = torch.cat([torch.full((64, 3, 4, 8, 8), 0.5), flow], dim=1)
    names = [f"{n}.mp4" for n in range(64)]
    batch = MiniBatch(clips=clips, labels=torch.zeros(64, dtype=torch.long), names=names, tracks={"flow": flow})
    made = changed(jitter, batch)
    factors = made.clips[:, 0, 0, 0, 0] / 0.5
    torch.testing.assert_close(made.clips[:, :3], 0.5 * factors[:, None, None, None, None].expand(-1, 3, 4, 8, 8))
    assert 0.75 <= factors.min() < 0.8
    assert 1.2 < factors.max() <= 1.25
    assert torch.equal(made.clips[:, 3:], flow)
    assert made.tracks["flow"] is flow


def test_training_with_transforms(tmp_path):
    """Two phases or one, accumulated or not: the objective sees mixed clips and their soft labels."""
    trained = {}
    for name, keys in {
        "plain": {},
        "mixed": {"TRAIN__TRANSFORMS": ["mixup"]},
        "again": {"TRAIN__TRANSFORMS": ["mixup"]},
        "never": {"TRAIN__TRANSFORMS": ["mixup"], "MIXUP__PROB": 0.0},
    }.items():
        recognizer = tiny_recognizer()
        make_trainer(cfg_with(tmp_path / name, **keys), recognizer, CrossEntropy, FakeLoader()).train()
        trained[name] = weights(recognizer)
    assert torch.equal(trained["mixed"], trained["again"])
    assert not torch.allclose(trained["mixed"], trained["plain"])
    torch.testing.assert_close(trained["never"], trained["plain"])


def test_they_are_registered():
    names = "actor_cutmix background_erasing color_jitter cutmix fame mixup rand_augment still_mix still_mix_batch"
    assert {*names.split(), "videomix_temporal", "videomix_spatiotemporal"} <= set(TRANSFORM.names())
