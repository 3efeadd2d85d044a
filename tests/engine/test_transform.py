"""Transforms of mini-batches: what accompanies the clips ends with a transform that does not keep it."""

from dataclasses import replace

import pytest
import torch

from pvbias.data import VideoRecord
from pvbias.engine import CrossEntropy, MiniBatch, Transform, train
from pvbias.engine.transform import apply_transforms
from pvbias.errors import ConfigError
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE, TRANSFORM

from .toys import make_cfg, tiny_recognizer


class Colours(Transform):
    """Keeps what is where."""

    keeps_tracks = None

    def __call__(self, batch):
        return replace(batch, clips=1 - batch.clips)


class Swap(Colours):
    """Needs masks, which it keeps, and shows several videos in a clip."""

    needs = Needs(tracks=("mask",))
    keeps_tracks = ("mask",)
    keeps_attributes = False


class Crop(Colours):
    """Says nothing: no track is sure to be the clips' after it."""

    keeps_tracks = Transform.keeps_tracks


class NeedsFlow(CrossEntropy):
    needs = Needs(tracks=("flow", "target.mask"))


class NeedsScene(CrossEntropy):
    needs = Needs(attributes=("scene",))

    def prepare(self, context):
        raise Prepared


class Prepared(Exception):
    """Nothing has refused to train."""


class Labelled:
    records = (VideoRecord(path="a", name="a", label=0, attributes={"scene": "gym"}),)
    class_names, description = (), "videos"


@pytest.fixture(autouse=True)
def _registered():
    restore = [OBJECTIVE.snapshot(), TRANSFORM.snapshot()]
    for kind in (NeedsFlow, NeedsScene):
        OBJECTIVE.register(kind)
    for transform in (Colours, Swap, Crop):
        TRANSFORM.register(transform, name=transform.__name__.lower())
    yield
    for each in restore:
        each()


@pytest.mark.parametrize(
    ("transforms", "objective", "message"),
    [
        (["colours", "crop"], "NeedsFlow", "'crop', .* the track 'flow', which the objective needs"),
        (["crop", "swap"], "CrossEntropy", "'crop', .* the track 'mask', which the transform 'swap' needs"),
        (["swap", "crop", "swap"], "CrossEntropy", "'crop', .* the track 'mask', which the transform 'swap' needs"),
        (["swap"], "NeedsScene", "'swap', .* the attribute 'scene', which the objective needs"),
    ],
)
def test_what_would_no_longer_be_the_clips_is_refused_before_anything_is_prepared(
    transforms, objective, message, tmp_path
):
    cfg = make_cfg(tmp_path, "TRAIN.TRANSFORMS", transforms, "OBJECTIVE.NAME", objective)
    with pytest.raises(ConfigError, match=message):
        train(cfg, tiny_recognizer(), Labelled())


@pytest.mark.parametrize("transforms", [["colours", "crop"], []])
def test_attributes_stay_with_clips_of_one_video(transforms, tmp_path):
    cfg = make_cfg(tmp_path, "TRAIN.TRANSFORMS", transforms, "OBJECTIVE.NAME", "NeedsScene")
    with pytest.raises(Prepared):
        train(cfg, tiny_recognizer(), Labelled())


def test_tracks_that_nothing_needs_any_more_end_with_a_transform(tmp_path):
    """Masks that one transform works with are no reason for the next one not to be there."""
    cfg, model = make_cfg(tmp_path), tiny_recognizer()
    batch = MiniBatch(
        clips=torch.rand(2, 3, 4, 8, 8),
        labels=torch.tensor([0, 1]),
        names=["a", "b"],
        tracks={"mask": torch.zeros(2, 1, 4, 8, 8), "flow": torch.zeros(2, 2, 4, 8, 8)},
    )
    left = []
    for kinds in ([Colours], [Swap], [Colours, Swap, Crop]):
        made = apply_transforms([kind(cfg, model) for kind in kinds], batch, rng_seed=0, epoch=0.0)
        left.append(sorted(made.tracks))
    assert left == [["flow", "mask"], ["mask"], []]


def test_what_a_transform_draws_is_of_the_video_the_step_and_its_place(tmp_path):
    drawn = []

    class Draw(Colours):
        def __call__(self, batch):
            drawn.append((dict(zip(batch.names, batch.seeds, strict=True)), torch.rand(3).tolist()))
            return batch

    transforms = [Draw(make_cfg(tmp_path), tiny_recognizer())] * 2
    for names, epoch in ((["a", "b"], 0.5), (["b", "a"], 0.5), (["a", "b"], 1.5)):
        batch = MiniBatch(clips=torch.rand(2, 3, 4, 8, 8), labels=None, names=names)
        apply_transforms(transforms, batch, rng_seed=0, epoch=epoch)
    first, second, *again = drawn[:4]
    assert again == [first, second]
    seeds = [seed for of_videos, _ in (first, second, *drawn[4:]) for seed in of_videos.values()]
    assert len({*seeds}) == len(seeds) == 8
    assert len({str(numbers) for _, numbers in drawn}) == 4
