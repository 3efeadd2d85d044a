import math

import pytest

from pvbias.report import words


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (64.25, "%", "64.2"),
        (-0.05, "log ratio", "−0.05"),
        (0.0014, "nats", "0.001"),
        (0.0004, "nats", "0"),
        (2.345, "nats", "2.35"),
        (0.0312, "weight", "0.0312"),
        (math.inf, "log ratio", "∞"),
        (0.0, "nats", "0"),
        (0.04, "%", "0.04"),
        (None, "%", "–"),
    ],
)
def test_numbers(value, unit, expected):
    assert words.number(value, unit) == expected


@pytest.mark.parametrize(
    ("number", "thing", "expected"),
    [
        (1, "video", "1 video"),
        (0, "clip", "0 clips"),
        (2000, "video", "2,000 videos"),
        (1, "class", "1 class"),
        (4, "class", "4 classes"),
        (2, "top-1 accuracy", "2 top-1 accuracies"),
    ],
)
def test_grammar_for_any_number(number, thing, expected):
    assert words.counted(number, thing) == expected
