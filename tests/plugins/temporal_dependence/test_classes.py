"""Classes that gain or lose are named where noise is not."""

import numpy as np
import pytest

from pvbias.evaluation.statistics import holm
from pvbias.plugins.temporal_dependence import class_changes, sign_test

STATISTICS = {"samples": 100, "seed": 0}


def test_sign_test_is_mcnemars_exact_one():
    assert sign_test(np.array([-1, -1, -1, -1, -1, -1, 0, 0])) == pytest.approx(2 / 64)
    assert sign_test(np.array([1, -1, 0])) == 1
    assert sign_test(np.zeros(5)) == 1


def test_a_class_that_loses_is_named_and_comes_first():
    labels = np.repeat(np.arange(4), 20)
    changed = np.ones(80)
    changed[labels == 2] = np.arange(20) >= 15  # 15 of 20 are lost
    rows = class_changes(labels, np.ones(80), {"shuffle": changed}, **STATISTICS)
    assert [row["class"] for row in rows if row["named"]] == [2]
    first = rows[0]
    assert (first["class"], first["videos"], first["top1"], first["change"]) == (2, 20, 25, -75)
    assert -100 < first["change_low"] < -75 < first["change_high"] < -40
    assert first["p_adjusted"] == pytest.approx(4 * 2 / 2**15)


def test_noise_is_not_named():
    """Right and wrong at random, of 40 classes: some class is named in 5 % of the repetitions at most."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 12)
    named = 0
    for _ in range(40):
        original, changed = generator.random((2, len(labels))) < 0.6
        differences = changed.astype(float) - original
        named += holm([sign_test(differences[labels == label]) for label in range(40)]).min() < 0.05
    assert named <= 5
