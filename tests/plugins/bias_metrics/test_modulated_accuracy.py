"""Accuracy on modulated clips and log ratios, against hand-worked cases."""

import math

import pytest

from pvbias.plugins.bias_metrics import ModulatedAccuracy

from .toys import DRAWS, feed, figures, recognizer, run, scores


def test_accuracy_on_random_frames_is_the_mean_over_those_drawn(cfg):
    """Of one video one draw in three is right, of the other all: 2 / 3 of clips that are all right as they are."""
    cfg.BIAS.FREEZE_FRAME, cfg.BIAS.FREEZE_DRAWS = "random", 3
    once = {"original": scores(0), "freeze_random": scores(1), DRAWS[0]: scores(6), DRAWS[1]: scores(0)}
    result = feed(ModulatedAccuracy(cfg, recognizer(), []), [(0, once), (0, {"original": scores(0)})])
    found = figures(result)
    for level in ("clip", "video"):
        assert found["top1", "freeze_random", level].value == pytest.approx(200 / 3)
        assert found["log_ratio", "freeze_random", level].value == pytest.approx(math.log(3 / 2))
        assert found["top1", "original", level].value == 100
    assert {variant for _, variant, _ in found} == {"original", "shuffle", "reverse", "freeze_random"}
    assert result.tables["per_class"][0]["top1_freeze_random"] == pytest.approx(200 / 3)


def test_accuracies_and_log_ratios_by_hand(cfg):
    """Ten videos of class 0, ten of class 6: all right as they are; shuffled, half of class 0 and none of class 6."""
    videos = [(0, {"original": scores(0), "shuffle": scores(0 if i < 5 else 1)}) for i in range(10)]
    videos += [(6, {"original": scores(6), "shuffle": scores(0), "reverse": scores(6)})] * 10
    result = feed(ModulatedAccuracy(cfg, recognizer(), ["walk", "b", "c", "d", "e", "f", "run"]), videos)
    found = figures(result)
    for level in ("clip", "video"):
        assert found["top1", "original", level].value == 100
        assert found["top1", "shuffle", level].value == 25
        assert found["top1", "reverse", level].value == 100
        # Class 0 is second where it is not first; class 6 is last of seven, beyond the fifth place.
        assert found["top5", "shuffle", level].value == 50
        ratio = found["log_ratio", "shuffle", level]
        assert ratio.value == pytest.approx(math.log(4))
        assert ratio.interval[0] < ratio.value < ratio.interval[1]
        assert found["log_ratio", "freeze_middle", level].value == 0
    rows = {(row["class"], row["level"]): row for row in result.tables["per_class"]}
    assert rows[0, "video"]["class_name"] == "walk"
    assert rows[0, "video"]["videos"] == 10
    assert rows[0, "video"]["top1_shuffle"] == 50
    assert rows[0, "video"]["log_ratio_shuffle"] == pytest.approx(math.log(2))
    assert rows[0, "video"]["log_ratio_shuffle_low"] < math.log(2) < rows[0, "video"]["log_ratio_shuffle_high"]
    assert rows[6, "clip"]["log_ratio_shuffle"] is None
    assert "zero denominator" in rows[6, "clip"]["note"]
    assert len({tuple(row) for row in result.tables["per_class"]}) == 1  # the same columns in all rows


def test_zero_denominator_is_reported_and_not_a_number(cfg):
    found = figures(
        feed(ModulatedAccuracy(cfg, recognizer(), []), [(0, {"original": scores(0), "shuffle": scores(1)})])
    )
    ratio = found["log_ratio", "shuffle", "video"]
    assert ratio.value is None
    assert ratio.interval is None
    assert "zero denominator" in ratio.note


def test_per_frame_model_has_log_ratio_zero_for_shuffle_and_reverse(cfg):
    model = recognizer()
    found = run(ModulatedAccuracy(cfg, model, []), model, num_videos=60)
    for variant in ("shuffle", "reverse"):
        assert found["top1", variant, "clip"].value == found["top1", "original", "clip"].value > 0
        assert found["log_ratio", variant, "clip"].value == 0
