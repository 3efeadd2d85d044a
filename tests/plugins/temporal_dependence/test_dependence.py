"""Curves over a clip's timing: what they show of networks that are known, and how many forwards they take."""

import pytest
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.errors import ConfigError
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.temporal_dependence import (
    CURVES,
    OcclusionStrips,
    ReversedPairs,
    TemporalDependence,
    TemporalOcclusion,
)
from tests.evaluation import toys as evaluation

from .toys import FRAMES, Apart, MovingSource, Still, config, feed, moving, recognizer


def clips(count, apart=1):
    return [moving(number, (1, -1)[number % 2], apart) for number in range(count)], [n % 2 for n in range(count)]


def test_a_network_that_sees_a_step_every_frame():
    found, result = feed(TemporalDependence(config(), recognizer(Apart(1)), ()), *clips(8))
    top1 = {
        variant: figure.value for (name, level, variant), figure in found.items() if (name, level) == ("top1", "video")
    }
    assert top1["original"] == 100
    assert top1["reverse"] == 0  # a step to the right is one to the left
    assert top1["cut(length=8)"] == top1["drop"] == top1["double"] == top1["window(length=8)"] == 100
    divergences = [found["divergence", "video", f"cut(length={length})"].value for length in (2, 4, 8)]
    assert divergences[0] > divergences[1] > divergences[2] - 1e-6
    points = [(row["at"], row["spec"]) for row in result.tables["curves"] if row["curve"] == "dropped"]
    assert points == [(0, "original"), (1, "drop"), (2, "drop(count=2)"), (4, "drop(count=4)")]
    assert {row["curve"] for row in result.tables["curves"]} == set(CURVES)
    lost = [row for row in result.tables["classes"] if row["variant"] == "reverse"]
    assert [(row["change"], row["videos"]) for row in lost] == [(-100, 4)] * 2


def test_a_network_that_averages_frames_depends_on_no_order():
    found, _ = feed(TemporalDependence(config(), recognizer(Still()), ()), clips(6, apart=4)[0])
    for curve in ("cut", "cut(length=6)", "shuffle_within(segments=2)", "reverse"):
        assert found["divergence", "video", curve].value == pytest.approx(0, abs=1e-6)
    assert found["divergence", "video", "freeze_middle"].value > 1e-5
    assert not any(name == "top1" for name, _, _ in found)  # nothing has a label


@pytest.mark.parametrize("frames", [2, 3, 8, 64])
def test_clips_of_any_length_have_curves(frames):
    evaluator = TemporalDependence(config(frames), recognizer(Apart(1)), ())
    for each in evaluator.modulations().values():
        assert each.frames(frames, [5]).shape == (1, frames)


def test_a_single_frame_has_no_time():
    for kind in (TemporalDependence, TemporalOcclusion, OcclusionStrips):
        evaluator = kind(config(1), recognizer(Still()), ())
        assert evaluator.needs.modulations == ()
    assert "no time" in TemporalDependence(config(1), recognizer(Still()), ()).evaluate().not_applicable


def test_a_curve_that_there_is_not():
    with pytest.raises(ConfigError, match=r"strides.*Did you mean 'stride'"):
        TemporalDependence(config(TEMPORAL_CURVES=["strides"]), recognizer(Still()), ())


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(2, 2)

    def forward(self, features):
        return self.proj(features.mean((2, 3, 4)))


class Staged(nn.Module):
    """A stage that sees single frames, one that sees time, and a head; counts the clips that go through each."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv3d(3, 2, 1), nn.Conv3d(2, 2, (3, 1, 1)), Head()])
        self.seen = [0, 0, 0]
        for place, block in enumerate(self.blocks):
            block.register_forward_hook(lambda module, given, _, place=place: self._count(place, given[0]))

    def _count(self, place, given):
        self.seen[place] += len(given)

    def forward(self, clip):
        for block in self.blocks:
            clip = block(clip)
        return clip


def test_all_of_it_is_one_pass_with_one_forward_for_each_modulation(tmp_path):
    """Four evaluators: each video is decoded once, each modulation, whoever asks for it, goes through once, and the
    stages that see single frames once for all of them."""
    module = Staged()
    spec = ClipSpec(num_frames=FRAMES, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)
    model = Recognizer(module.eval(), clip_spec=spec, head="blocks.2.proj", stages="blocks")
    cfg = config()
    kinds = (TemporalDependence, ReversedPairs, TemporalOcclusion, OcclusionStrips)
    evaluators = {kind.__name__: kind(cfg, model, ("open", "close")) for kind in kinds}
    assert model.num_frame_stages == 1
    module.seen = [0, 0, 0]
    results = evaluation.measure(tmp_path, cfg, evaluators, model=model, source=MovingSource(10))
    needed = {each for evaluator in evaluators.values() for each in evaluator.needs.modulations}
    assert len(needed) == 37
    assert module.seen == [10, 10 * len(needed), 10 * len(needed)]
    assert all(result.figures or result.tables or result.not_applicable for result in results.values())
