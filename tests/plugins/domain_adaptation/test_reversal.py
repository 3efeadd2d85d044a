"""The schedule of gradient reversal."""

import pytest

from pvbias.plugins.domain_adaptation import reversal_strength


def test_the_strength_rises_from_0_towards_1():
    """tanh(gamma p / 2)."""
    assert reversal_strength(0.0, 10.0) == 0
    assert reversal_strength(0.1, 10.0) == pytest.approx(0.46211716)
    assert reversal_strength(1.0, 10.0) == pytest.approx(0.99990920)
    assert reversal_strength(1.0, 0.0) == 0
