"""Swapped backgrounds as an example plugin: pixels and labels by hand, and generated videos with their own masks."""

import json

import pytest
import torch

from pvbias.config import complete
from pvbias.engine import MiniBatch
from pvbias.engine.seeding import seed_everything
from pvbias.engine.transform import apply_transforms
from pvbias.registries import TRANSFORM
from pvbias.run import run

from ..engine.toys import CLASSES, tiny_recognizer
from .example_plugins import configured, importable

SIDE, FRAMES = 4, 4


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        yield


def swap(folder, *overrides):
    keys = ("BACKGROUND_SWAP.PROB", 1.0, *overrides)
    cfg = complete(configured(folder, "background_swap", *keys), num_classes=CLASSES)
    return TRANSFORM.get("background_swap")(cfg, tiny_recognizer())


def batch_of(places, foreground=0.9, label=1):
    """Clips of which clip n is of value n / 10, with a column of another value that goes from place to place."""
    clips = (torch.arange(len(places)) / 10).view(-1, 1, 1, 1, 1).repeat(1, 3, FRAMES, SIDE, SIDE)
    masks = torch.zeros(len(places), 1, FRAMES, SIDE, SIDE, dtype=torch.uint8)
    for n, columns in enumerate(places):
        for frame, column in enumerate(columns):
            clips[n, :, frame, :, column], masks[n, :, frame, :, column] = foreground, label
    names = [f"{n}.mp4" for n in range(len(places))]
    return MiniBatch(clips=clips, labels=torch.arange(len(places)) % CLASSES, names=names, tracks={"mask": masks})


def changed(transform, batch, epoch=0.5):
    return apply_transforms([transform], batch, rng_seed=0, epoch=epoch)


def test_the_foreground_is_seen_over_another_clips_background(tmp_path):
    """Whose own foreground is gone: each pixel is background in some frame, and is as there."""
    batch = batch_of([(0, 1, 2, 3), (1, 1, 2, 2), (3, 2, 1, 0)], label=7)  # any label but 0 is foreground
    found = changed(swap(tmp_path), batch)
    for n in range(3):
        mask = batch.tracks["mask"][n].expand(3, -1, -1, -1) > 0
        torch.testing.assert_close(found.clips[n][mask], batch.clips[n][mask])
        torch.testing.assert_close(found.clips[n][~mask], torch.full_like(found.clips[n][~mask], (n - 1) % 3 / 10))
    assert found.labels is batch.labels
    assert found.tracks["mask"] is batch.tracks["mask"]
    assert torch.equal(batch.clips[0, :, 0, :, 0], torch.full((3, SIDE), 0.9))  # as it was


def test_a_pixel_that_is_never_background_has_the_mean_of_all_that_is(tmp_path):
    batch = batch_of([(0, 0, 0, 0), (1, 1, 1, 1)])
    batch.clips[0, :, :, :, 1], batch.clips[0, :, :, :, 2:] = 0.0, 0.6  # of 3 columns of background
    found = changed(swap(tmp_path), batch)
    torch.testing.assert_close(found.clips[1, :, :, :, 0], torch.full((3, FRAMES, SIDE), 0.4))
    torch.testing.assert_close(found.clips[1, :, :, :, 2:], torch.full((3, FRAMES, SIDE, 2), 0.6))


def test_labels_by_area(tmp_path):
    """A quarter is foreground: 1 - (3/4)^4 of the own label."""
    found = changed(swap(tmp_path, "BACKGROUND_SWAP.LABEL", "area"), batch_of([(0, 1, 2, 3), (1, 1, 2, 2)]))
    own = 1 - 0.75**4
    torch.testing.assert_close(found.labels, torch.tensor([[own, 1 - own, 0.0], [1 - own, own, 0.0]]))


@pytest.mark.parametrize("label", ["keep", "area"])
def test_clips_that_are_all_foreground_or_have_none(tmp_path, label):
    batch = batch_of([(), (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)])
    batch.tracks["mask"][2] = 1
    found = changed(swap(tmp_path, "BACKGROUND_SWAP.LABEL", label), batch)
    same = [torch.equal(found.clips[n], batch.clips[n]) for n in range(4)]
    assert same == [True, False, True, True]  # nothing to paste; the first one's background; all of it; no background
    if label == "area":
        assert torch.equal(found.labels[[0, 2, 3]], torch.eye(CLASSES)[batch.labels[[0, 2, 3]]])


def test_with_probability(tmp_path):
    batch = batch_of([(0, 1, 2, 3)] * 100)
    found = changed(swap(tmp_path, "BACKGROUND_SWAP.PROB", 0.25), batch)
    swapped = [not torch.equal(found.clips[n], batch.clips[n]) for n in range(100)]
    assert 12 < sum(swapped) < 40


def test_masks_are_the_tracks_that_are_still_the_clips(tmp_path):
    batch = batch_of([(0, 1, 2, 3)] * 2)
    found = changed(swap(tmp_path), MiniBatch(**{**vars(batch), "tracks": {**batch.tracks, "flow": torch.zeros(2)}}))
    assert list(found.tracks) == ["mask"]


@pytest.mark.parametrize("objective", ["CrossEntropy", "DRLFreeze"])
def test_training_on_videos_that_know_their_masks(tmp_path, objective):
    trained = []
    for label in ("keep", "area"):
        cfg = configured(
            tmp_path / label,
            "background_swap",
            *("TRAIN.DATASET", "places_faces_mnist", "TEST.DATASET", "places_faces_mnist"),
            *("TRAIN.TRANSFORMS", "['background_swap']", "OBJECTIVE.NAME", objective, "BACKGROUND_SWAP.LABEL", label),
            *("TEST.ENABLE", False, "BIAS.ENABLE", False),
        )
        seed_everything(cfg.RNG_SEED)  # as who launches a run does, for the model's weights
        run(cfg)
        with open(f"{cfg.OUTPUT_DIR}/train_log.jsonl", encoding="utf-8") as lines:
            trained.append([line["loss"] for line in map(json.loads, lines) if line["kind"] == "train"])
    assert trained[0]
    assert trained[0] != trained[1]
