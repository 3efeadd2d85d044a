"""Bootstrap intervals against closed forms, and log ratios against the published table."""

import math

import numpy as np
import pytest

from pvbias.evaluation.statistics import log_ratio, mean_intervals, percentile_interval, resampled_means

#: Hara, Ishikawa and Kataoka, Table 1: accuracy on original and on shuffled inputs (%), log ratio.
TABLE_1 = {
    "Kinetics-400": (64.3, 32.7, 0.68),
    "Moments in Time": (27.1, 14.2, 0.65),
    "ActivityNet": (33.4, 29.6, 0.12),
    "UCF-101": (45.3, 32.0, 0.35),
    "HMDB-51": (19.4, 11.0, 0.56),
    "Something v2": (44.3, 2.3, 2.95),
    "Jester": (92.0, 20.1, 1.52),
    "Gym288": (71.7, 3.9, 2.92),
    "Diving48": (15.1, 4.2, 1.29),
}


def right(accuracy: float, num_videos: int = 1000) -> np.ndarray:
    """One entry a video, 1 where it is right: ``accuracy`` percent of them, in tenths."""
    correct = np.zeros(num_videos)
    correct[: round(accuracy / 100 * num_videos)] = 1
    return correct


@pytest.mark.parametrize("data", TABLE_1)
def test_log_ratio_gives_the_table_of_the_paper(data):
    original, shuffled, published = TABLE_1[data]
    value = log_ratio(right(original), right(shuffled), samples=100, seed=0).value
    assert value is not None
    assert value == pytest.approx(math.log(original / shuffled), abs=1e-12)
    # The accuracies are rounded to 0.1 and the ratio to 0.01: the published one must be attainable.
    low = math.log((original - 0.05) / (shuffled + 0.05)) - 0.005
    high = math.log((original + 0.05) / (shuffled - 0.05)) + 0.005
    assert low <= published <= high


def test_interval_of_a_proportion_is_the_normal_approximation():
    n, p = 2000, 0.3
    ((low, high),) = mean_intervals(right(100 * p, n)[:, None], samples=20000, seed=1)
    half = 1.959964 * math.sqrt(p * (1 - p) / n)
    assert low == pytest.approx(p - half, abs=0.05 * half + 0.5 / n)
    assert high == pytest.approx(p + half, abs=0.05 * half + 0.5 / n)


def test_interval_of_a_log_ratio_is_the_delta_method():
    generator = np.random.default_rng(0)
    n = 4000
    original = (generator.random(n) < 0.8).astype(float)
    shuffled = original * (generator.random(n) < 0.5)  # correlated, as they are over the same videos
    result = log_ratio(original, shuffled, samples=20000, seed=0)
    a, b = original.mean(), shuffled.mean()
    covariance = np.cov(np.stack([original, shuffled])) / n
    gradient = np.array([1 / a, -1 / b])
    half = 1.959964 * math.sqrt(gradient @ covariance @ gradient)
    assert result.value == pytest.approx(math.log(a / b))
    assert result.interval == pytest.approx((result.value - half, result.value + half), abs=0.06 * half)
    assert result.note == ""


def test_columns_are_resampled_together_whatever_the_chunks_are():
    generator = np.random.default_rng(3)
    first = generator.random(9000)
    means = resampled_means(np.stack([first, 1 - first], axis=1), samples=1000, seed=5)  # 9 M entries: several chunks
    assert means.shape == (1000, 2)
    np.testing.assert_allclose(means.sum(1), 1)
    assert means[:, 0].std() == pytest.approx(first.std() / math.sqrt(len(first)), rel=0.1)
    assert len(np.unique(means[:, 0])) > 990  # no chunk repeats another one


def test_seed_decides_the_resamples():
    columns = np.random.default_rng(0).random((50, 1))
    assert mean_intervals(columns, samples=200, seed=7) == mean_intervals(columns, samples=200, seed=7)
    assert mean_intervals(columns, samples=200, seed=7) != mean_intervals(columns, samples=200, seed=8)


def test_one_video_has_no_interval():
    assert mean_intervals(np.array([[0.5, 1.0]]), samples=100, seed=0) == [None, None]
    assert log_ratio(np.array([1.0]), np.array([0.5]), samples=100, seed=0).interval is None


def test_percentiles_are_taken_outwards_and_survive_infinities():
    assert percentile_interval(np.arange(100.0)) == (2.0, 97.0)
    draws = np.concatenate([np.arange(95.0), np.full(5, np.inf)])
    assert percentile_interval(draws) == (2.0, math.inf)


@pytest.mark.parametrize(
    ("original", "shuffled", "cause"),
    [([1, 1], [0, 0], "denominator"), ([0, 0], [0, 0], "both"), ([0, 0], [0, 1], "original")],
)
def test_zero_accuracies_leave_the_ratio_undefined(original, shuffled, cause):
    result = log_ratio(np.array(original, float), np.array(shuffled, float), samples=100, seed=0)
    assert result.value is None
    assert result.interval is None
    assert "undefined" in result.note
    assert cause in result.note


def test_resamples_with_a_zero_denominator_make_the_end_infinite():
    # 1 of 10 right on shuffled clips: (9/10)^10 = 35 % of the resamples have none.
    result = log_ratio(right(100, 10), right(10, 10), samples=2000, seed=0)
    assert result.value == pytest.approx(math.log(10))
    low, high = result.interval
    assert high == math.inf
    # P(at most 3 of 10) = 98.7 %, P(at most 2) = 93 %: the lower end is ln(10 / 3).
    assert low == pytest.approx(math.log(10 / 3))
    assert "1.2 to inf" in result.note


def test_resamples_with_two_zeros_are_left_out_and_counted():
    result = log_ratio(right(10, 10), right(10, 10), samples=2000, seed=0)
    assert result.value == 0
    assert result.interval == (0, 0)
    left_out = int(result.note.split()[0])
    assert left_out == pytest.approx(2000 * 0.9**10, rel=0.1)
