"""What the figures are said to mean."""

import math

import pytest

from pvbias.evaluation import Figure
from pvbias.plugins.bias_metrics.report.interpretation import LARGE, SLIGHT, read_dynamic_score, read_shuffling


def accuracy(value, half_width=1.0, count=1000):
    interval = (value - half_width, value + half_width)
    return Figure(name="top1", value=value, unit="%", level="video", interval=interval, count=count)


def verdict(original, shuffled, num_classes, **kwargs):
    return read_shuffling(accuracy(original, **kwargs), accuracy(shuffled, **kwargs), None, num_classes).verdict


@pytest.mark.parametrize(
    ("original", "shuffled", "num_classes", "expected"),
    [  # the first six: Table 1 of "Rethinking Training Data for Mitigating Representation Biases in Action Recognition"
        (64.3, 32.7, 400, "Uses the order of frames, but leans on appearance"),
        (33.4, 29.6, 200, "Uses the order of frames, but leans on appearance"),
        (45.3, 32.0, 101, "Uses the order of frames, but leans on appearance"),
        (44.3, 2.3, 174, "Leans on the order of frames"),
        (92.0, 20.1, 27, "Leans on the order of frames"),
        (15.1, 4.2, 48, "Leans on the order of frames"),
        (99.0, 98.5, 8, "Almost blind to the order of frames"),
        (95.0, 50.3, 2, "Depends on the order of frames"),  # the log ratio is only 0.64, but nothing is left
        (13.0, 12.4, 8, "No better than guessing"),
        (50.0, 70.0, 8, "Better without the order of frames"),
    ],
)
def test_verdict_on_shuffling(original, shuffled, num_classes, expected):
    assert verdict(original, shuffled, num_classes) == expected


def test_few_videos_do_not_make_equal_accuracies_a_dependence_on_order():
    assert verdict(60.0, 60.0, 2, half_width=9.0) == "Almost blind to the order of frames"


def test_few_videos_of_which_none_is_right_shuffled():
    """4 of 5 videos, Wilson's [37.6, 96.4] %, against 0 of 5, [0, 43.4] %."""
    figures = [
        Figure(name="top1", value=value, unit="%", level="video", interval=ends, count=5)
        for value, ends in ((80.0, (37.6, 96.4)), (0.0, (0.0, 43.4)))
    ]

    reading = read_shuffling(*figures, None, 400)

    assert reading.verdict == "Leans on the order of frames"
    assert "80.0 % in order, 0.0 % shuffled" in reading.explanation
    assert reading.caveat == "The intervals of the two accuracies overlap: measure more videos to be sure."


def test_the_sentence_has_the_numbers():
    reading = read_shuffling(accuracy(64.3), accuracy(32.7), None, 400)

    assert "costs 31.6 points of accuracy: 64.3 % in order, 32.7 % shuffled" in reading.explanation
    assert reading.caveat == ""


def test_an_interval_that_reaches_another_verdict_is_said():
    ratio = Figure(
        name="log_ratio", value=0.68, unit="log ratio", level="video", variant="shuffle", interval=(0.6, 0.8)
    )

    reading = read_shuffling(accuracy(64.3), accuracy(32.7), ratio, 400)

    assert "“Leans on the order of frames”" in reading.caveat


def test_the_examples_for_nats_are_right():
    def divergence(before, after):
        return before * math.log(before / after) + (1 - before) * math.log((1 - before) / (1 - after))

    assert divergence(0.9, 0.72) == pytest.approx(SLIGHT, abs=0.01)
    assert divergence(0.9, 0.24) == pytest.approx(LARGE, abs=0.02)


@pytest.mark.parametrize(
    ("value", "verdict", "meaning"),
    [
        (0.02, "Single frames explain the predictions", "comes close to"),
        (0.4, "Single frames explain part of the predictions", "misses part of"),
        (2.5, "Single frames do not explain the predictions", "is far from"),
    ],
)
def test_verdict_on_the_distilled_score(value, verdict, meaning):
    """The other way round than for frozen clips: a small score says that frames are enough."""
    score = Figure(name="dynamic_score", value=value, unit="nats", level="video", variant="distill")
    agreement = Figure(name="agreement", value=81.0, unit="%", level="video", variant="distill")
    reading = read_dynamic_score(score, agreement)
    assert reading.verdict == verdict
    assert reading.explanation.startswith(f"A student that sees single frames {meaning} the predictions: {value:.2f}")
    assert f" {value:.2f}" in reading.explanation.partition(" nats on average.")[0]
    assert "first choice is the same for 81 % of the videos" in reading.explanation


def test_a_score_and_the_share_of_what_stays_in_their_units():
    score = Figure(name="dynamic_score", value=0.413, unit="nats", level="clip", variant="freeze_first")
    agreement = Figure(name="agreement", value=81.0, unit="%", level="clip", variant="freeze_first")

    reading = read_dynamic_score(score, agreement)

    assert reading.verdict == "Predictions shift"
    assert reading.explanation == (
        "When a clip is frozen to its first frame, predictions shift: 0.413 nats on average. The first choice stays "
        "the same for 81 % of the clips."
    )


def test_a_score_below_the_resolution():
    score = Figure(name="dynamic_score", value=3.09e-09, unit="nats", level="video", variant="shuffle")

    reading = read_dynamic_score(score, None)

    assert reading.verdict == "Predictions do not notice"
    assert reading.explanation.endswith("predictions do not move: less than 0.001 nats on average.")


def test_a_model_that_guesses_has_nothing_to_be_moved():
    score = Figure(name="dynamic_score", value=3.09e-09, unit="nats", level="video", variant="shuffle")

    assert "no better than guessing" in read_dynamic_score(score, None, guessing=True).caveat
