"""The dynamic score, against closed forms and hand-worked cases."""

import math

import pytest
from torch import nn

from pvbias.plugins.bias_metrics import DynamicScore, ModulatedAccuracy

from .toys import DRAWS, Ordered, PerFrame, feed, figures, log, recognizer, run


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_per_frame_model_has_shuffle_score_zero_and_full_agreement(cfg, average):
    model = recognizer(PerFrame(average=average))
    found = run(DynamicScore(cfg, model, []), model)
    for level in ("clip", "video"):
        assert 0 <= found["dynamic_score", "shuffle", level].value < 1e-9
        assert found["agreement", "shuffle", level].value == 100
        # One frame of eight is not all of them: freezing does change a per-frame model's mean.
        assert found["dynamic_score", "freeze_middle", level].value > 0.01


def test_motion_model_has_the_entropy_deficit_as_freeze_score(cfg):
    """Without bias and motion its prediction is uniform: KL(p || uniform) = ln K - H(p)."""
    model = recognizer(Ordered())
    nn.init.zeros_(model.head.bias)
    deficits = []

    class Entropy(DynamicScore):
        def process(self, video, outputs):
            p = outputs["original"].logits.double().softmax(1)
            deficits.append((math.log(7) + (p * p.log()).sum(1)).mean().item())
            super().process(video, outputs)

    found = run(Entropy(cfg, model, []), model)
    expected = sum(deficits) / len(deficits)
    assert found["dynamic_score", "freeze_middle", "clip"].value == pytest.approx(expected, rel=1e-6)
    assert expected > 0.1


def test_score_of_two_classes_by_hand(cfg):
    """One video, two views: clip level is the mean of two divergences, video level that of the mean probabilities."""
    original = [log(0.9, 0.1), log(0.5, 0.5)]
    shuffled = [log(0.6, 0.4), log(0.25, 0.75)]
    result = feed(
        DynamicScore(cfg, recognizer(), []),
        [(None, {"original": original, "shuffle": shuffled, "freeze_middle": original})],
    )
    found = figures(result)
    first = 0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    second = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    video = 0.7 * math.log(0.7 / 0.425) + 0.3 * math.log(0.3 / 0.575)
    assert found["dynamic_score", "shuffle", "clip"].value == pytest.approx((first + second) / 2, abs=1e-6)
    assert found["dynamic_score", "shuffle", "video"].value == pytest.approx(video, abs=1e-6)
    assert found["dynamic_score", "freeze_middle", "clip"].value == 0
    assert found["dynamic_score", "shuffle", "clip"].unit == "nats"
    # View 1: class 0 and 0. View 2: class 0 (the first of two equal ones) and 1. Mean: class 0 and 1.
    assert found["agreement", "shuffle", "clip"].value == 50
    assert found["agreement", "shuffle", "video"].value == 0
    assert result.not_applicable == ""


def test_score_is_the_mean_over_videos_with_an_interval_around_it(cfg):
    """Half of the videos score ln 2 (certain against even), half 0; the views of a video are not counted as videos."""
    certain, even = [[0.0, -200.0]], [[0.0, 0.0]]
    videos = [(None, {"original": certain * 2, "shuffle": even * 2})] * 50
    videos += [(None, {"original": certain * 7})] * 50
    found = figures(feed(DynamicScore(cfg, recognizer(), []), videos))["dynamic_score", "shuffle", "clip"]
    assert found.value == pytest.approx(math.log(2) / 2)
    assert found.count == 100
    low, high = found.interval
    assert low < found.value < high
    assert high - low == pytest.approx(2 * 1.96 * math.log(2) * 0.05, rel=0.25)


def test_extreme_logits_stay_finite(cfg):
    found = figures(
        feed(DynamicScore(cfg, recognizer(), []), [(0, {"original": [[3e4, -3e4]], "shuffle": [[-3e4, 3e4]]})])
    )
    assert found["dynamic_score", "shuffle", "clip"].value == pytest.approx(6e4)


def test_frame_to_freeze_is_the_configured_one(cfg):
    cfg.BIAS.FREEZE_FRAME = "random"
    assert DynamicScore(cfg, recognizer(), []).needs.modulations == ("original", "freeze_random", "shuffle")
    assert "freeze_random" in ModulatedAccuracy(cfg, recognizer(), []).needs.modulations


def test_the_score_of_random_frames_is_the_mean_over_those_drawn(cfg):
    """KL of (0.9, 0.1) to itself is 0; to (0.5, 0.5) it is ln 2 - H(0.9); to (0.1, 0.9), 0.8 ln 9."""
    cfg.BIAS.FREEZE_FRAME, cfg.BIAS.FREEZE_DRAWS = "random", 3
    draws = dict(zip(("freeze_random", *DRAWS), (log(0.9, 0.1), log(0.5, 0.5), log(0.1, 0.9)), strict=True))
    logits = {"original": [log(0.9, 0.1)], **{spec: [row] for spec, row in draws.items()}}
    found = figures(feed(DynamicScore(cfg, recognizer(), []), [(None, logits)]))
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    expected = (0 + (math.log(2) - entropy) + 0.8 * math.log(9)) / 3
    for level in ("clip", "video"):
        assert found["dynamic_score", "freeze_random", level].value == pytest.approx(expected, abs=1e-6)
        assert found["agreement", "freeze_random", level].value == pytest.approx(200 / 3)
    assert {variant for _, variant, _ in found} == {"freeze_random", "shuffle"}


def test_the_configuration_adds_modulations(cfg):
    cfg.BIAS.MODULATIONS = ["shuffle( segments=2 )"]
    even, sure = [log(0.5, 0.5)], [log(0.9, 0.1)]
    logits = {"original": even, "shuffle(segments=2)": sure}
    found = figures(feed(DynamicScore(cfg, recognizer(), []), [(None, logits)]))
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert found["dynamic_score", "shuffle(segments=2)", "video"].value == pytest.approx(expected)
    assert found["dynamic_score", "shuffle", "video"].value == 0
    found = figures(feed(ModulatedAccuracy(cfg, recognizer(), []), [(1, {"original": even})]))
    assert found["top1", "shuffle(segments=2)", "video"].value == 50
