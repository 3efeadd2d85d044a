"""Mutual information of place and label, against scikit-learn, closed forms and a null of known rate."""

import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from pvbias.config import load_cfg
from pvbias.data import build_source
from pvbias.data.record_list import field_of
from pvbias.plugins.scene_bias import mutual_information
from pvbias.plugins.scene_bias.information import plug_in_information


def pair(*, samples, values, rho, seed):
    """Two variables of which the second copies the first with probability rho, and is drawn anew else."""
    generator = np.random.default_rng(seed)
    first = generator.integers(values, size=samples)
    return first, np.where(generator.random(samples) < rho, first, generator.integers(values, size=samples))


def closed_form(values, rho):
    """ln K + p ln p + (1 - p) ln((1 - p) / (K - 1)), with p = rho + (1 - rho) / K the share of pairs that agree."""
    tied = rho + (1 - rho) / values
    rest = (1 - tied) * math.log((1 - tied) / (values - 1)) if tied < 1 else 0.0
    return math.log(values) + tied * math.log(tied) + rest


def test_the_plug_in_estimate_and_its_mean_by_chance_are_scikit_learns():
    first, second = pair(samples=60, values=4, rho=0.3, seed=0)
    found = mutual_information(first, second, permutations=2000, seed=0)
    table = contingency_matrix(first, second)
    assert found.plug_in == pytest.approx(mutual_info_score(first, second), abs=1e-12)
    assert plug_in_information(table) == pytest.approx(found.plug_in, abs=1e-12)
    assert found.null == pytest.approx(expected_mutual_information(table, 60), abs=0.003)


def test_the_jackknife_is_that_of_leaving_out_each_sample():
    first, second = pair(samples=30, values=3, rho=0.4, seed=1)
    kept = np.arange(30)[None] != np.arange(30)[:, None]
    left_out = [mutual_info_score(first[keep], second[keep]) for keep in kept]
    found = mutual_information(first, second, permutations=10, seed=0)
    assert found.value == pytest.approx(30 * mutual_info_score(first, second) - 29 * np.mean(left_out), abs=1e-10)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_made_up_videos_have_the_closed_forms_information(rho):
    """Eight places, eight motions, a label that is the motion: the design ties the two by rho. (By chance, seed 0 has
    three standard errors too few ties.)"""
    keys = {
        **{"TEST.DATASET": "places_faces_mnist", "DECOUPLED.LABEL": "motion", "DECOUPLED.CONTEXT": "train"},
        **{"DECOUPLED.RHO": rho, "DECOUPLED.PLACES": 8, "DECOUPLED.MOTIONS": 8, "DECOUPLED.TEST_VIDEOS": 4000},
        **{"DECOUPLED.SIZE": 32, "DECOUPLED.FRAMES": 8, "DECOUPLED.SEED": 2},
    }
    records = build_source(load_cfg(overrides=[str(part) for item in keys.items() for part in item]), "test").records
    places = [attributes["appearance"] for attributes in field_of(records, "attributes")]
    numbers = np.unique(places, return_inverse=True)[1]
    found = mutual_information(numbers, np.array(field_of(records, "label")), permutations=50, seed=0)
    assert found.samples == 4000
    assert found.value == pytest.approx(closed_form(8, rho), abs={0.0: 0.01, 0.5: 0.04, 1.0: 0.001}[rho])
    low, high = found.interval
    assert low - 1e-3 <= closed_form(8, rho) <= high + 1e-3
    assert not found.note


def test_bias_is_removed_and_the_interval_holds_the_truth():
    """Of 100 sets of 400 videos; the plug-in estimate is too high by (7 - 1)^2 / 800 nats."""
    truth = closed_form(7, 0.5)
    found = [
        mutual_information(*pair(samples=400, values=7, rho=0.5, seed=seed), permutations=40, seed=seed)
        for seed in range(100)
    ]
    assert np.mean([each.plug_in for each in found]) - truth > 0.03
    assert np.mean([each.value for each in found]) == pytest.approx(truth, abs=0.015)
    assert sum(each.interval[0] <= truth <= each.interval[1] for each in found) >= 90


def test_the_null_covers_at_its_rate():
    """Of independent variables p is below 0.1 in a tenth of 400 sets: 40, give or take three times 6."""
    found = [
        mutual_information(*pair(samples=40, values=4, rho=0.0, seed=seed), permutations=99, seed=seed)
        for seed in range(400)
    ]
    assert 22 <= sum(each.p_value <= 0.1 for each in found) <= 58
    assert 22 <= sum(each.plug_in > each.null_end for each in found) * 2 <= 70
    assert abs(np.mean([each.value for each in found])) < 0.3 * np.mean([each.null for each in found])
    assert all(each.interval[0] <= each.value <= each.interval[1] for each in found)
    assert min(each.value for each in found) < 0
    assert all("fewer than 5 a pair" in each.note for each in found[:3])


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_of_fewer_samples_than_pairs_the_interval_holds_the_truth_and_chance_is_no_information(rho):
    """400 videos of 1,600 pairs: the jackknife has 0.7 nats where there is nothing."""
    truth = closed_form(40, rho)
    for seed in range(3):
        found = mutual_information(*pair(samples=400, values=40, rho=rho, seed=seed), permutations=50, seed=seed)
        assert found.value == pytest.approx(truth, abs=0.25)
        assert found.interval[0] <= min(truth, found.value)
        assert max(truth, found.value) <= found.interval[1] + 0.01
        assert (found.p_value > 0.02) == (found.interval[0] <= 0) == (rho == 0)


def test_a_place_for_each_video_says_nothing_of_the_label():
    """All of the label's entropy by the plug-in estimate, and by each permutation."""
    found = mutual_information(np.arange(20), np.repeat(np.arange(5), 4), permutations=50, seed=0)
    assert (found.value, found.p_value) == (0, 1)
    assert found.interval == (0, pytest.approx(math.log(5)))


@pytest.mark.parametrize("samples", [4, 40])
def test_where_the_label_is_the_place_all_of_it_is_explained(samples):
    labels = np.repeat(np.arange(5), samples)
    found = mutual_information(labels, labels, permutations=50, seed=0)
    assert found.value == pytest.approx(found.most, rel=1e-12)
    assert found.interval[0] <= found.value <= found.interval[1]


@pytest.mark.parametrize(("first", "second"), [(np.zeros(5, int), np.arange(5)), (np.arange(40) % 4, np.ones(40, int))])
def test_one_value_says_nothing(first, second):
    found = mutual_information(first, second, permutations=10, seed=0)
    assert (found.value, found.plug_in, found.p_value) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12), 1)
    assert (found.null, found.null_end, found.note) == (0, 0, "")
    assert mutual_information(np.zeros(1, int), np.zeros(1, int), permutations=10, seed=0).interval is None
    with pytest.raises(ValueError, match="two rows of one length"):
        mutual_information(np.zeros(2, int), np.zeros(3, int), permutations=10, seed=0)
