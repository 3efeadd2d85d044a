"""Studies of several runs: intervals over seeds, and what they are said to mean."""

import math

import pytest

from pvbias.run.study import interval, text, verdict


def test_intervals_are_students():
    """1, 2 and 3: their standard error is 1 / sqrt(3), and t of 2 degrees of freedom 4.303."""
    mean, half = interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / math.sqrt(3)))
    assert text([1.0, 2.0, 3.0], 2) == "2.00 ± 2.48"
    assert text([0.5], 1, sign="+") == "+0.5"


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        ([2.0], "one seed does not tell"),
        ([-1.0, 0.0, 2.0], "no difference that these seeds can tell"),
        ([2.0, 2.1, 1.9], "it helps"),
        ([-2.0, -2.1, -1.9], "it does harm"),
    ],
)
def test_verdicts(gained, said):
    assert verdict(gained).startswith(said)
