"""Intervals against closed forms and likelihoods, and log ratios against the published table."""

import math

import numpy as np
import pytest

from pvbias.evaluation.results import Figure
from pvbias.evaluation.statistics import (
    difference_figure,
    holm,
    log_ratio,
    log_ratio_difference,
    mean_figures,
    mean_intervals,
    paired_difference,
    percentile_interval,
    proportion_interval,
    resampled_means,
    unpaired_difference,
)

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


def test_very_many_videos_are_resampled_in_groups_with_the_standard_error_of_videos():
    generator = np.random.default_rng(3)
    first = generator.exponential(size=100_003)  # no multiple of anything
    second = generator.random(100_003)
    columns = np.stack([first, 2 * first, second], axis=1)
    means = resampled_means(columns, samples=4000, seed=5)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    errors = columns.std(0) / math.sqrt(len(columns))
    np.testing.assert_allclose(means.std(0), errors, rtol=0.04)  # three standard errors of a deviation of 4,000
    np.testing.assert_allclose(means.mean(0), columns.mean(0), atol=4 * errors.max() / math.sqrt(4000))
    np.testing.assert_array_equal(means, resampled_means(columns, samples=4000, seed=5))


Z = 1.959963984540054


@pytest.mark.parametrize("right_of_19", [0, 1, 9, 18, 19])
def test_a_proportion_has_wilsons_interval(right_of_19):
    """Its ends are the p whose own standard error puts them 1.96 away from what was seen."""
    values = np.array([1.0] * right_of_19 + [0.0] * (19 - right_of_19))
    seen = right_of_19 / 19
    for end, outermost in zip(proportion_interval(values), (0, 1), strict=True):
        if seen == outermost:
            assert end == seen
        else:
            assert abs(seen - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / 19))


def test_none_of_19_is_up_to_one_in_six_and_all_of_19_down_to_five():
    assert proportion_interval(np.zeros(19)) == pytest.approx((0, 0.1682), abs=5e-5)
    assert proportion_interval(np.ones(19)) == pytest.approx((0.8318, 1), abs=5e-5)


def test_the_video_is_the_unit_however_many_views_it_has():
    """Ten views of a video that are all alike say what one says; ten that are independent say what ten videos say."""
    generator = np.random.default_rng(2)
    alike = (generator.random(400) < 0.3).astype(float)
    shares = np.repeat(alike[:, None], 10, axis=1).mean(1)
    assert proportion_interval(shares) == pytest.approx(proportion_interval(alike))
    independent = generator.random((400, 10)) < 0.3
    low, high = proportion_interval(independent.mean(1))
    flat_low, flat_high = proportion_interval(independent.astype(float).ravel())
    assert high - low == pytest.approx(flat_high - flat_low, rel=0.1)
    assert proportion_interval(np.zeros(19)) == proportion_interval(np.zeros((19, 10)).mean(1))


def test_percentages_are_proportions_and_scores_are_not():
    columns = np.stack([np.zeros(19), np.linspace(0, 1, 19)], axis=1)
    templates = [Figure(name=name, value=None, unit=unit, level="video") for name, unit in (("a", "%"), ("b", "nats"))]
    share, score = mean_figures(templates, columns, samples=2000, seed=0)
    assert (share.value, share.count) == (0, 19)
    assert share.interval == pytest.approx((0, 16.82), abs=5e-3)
    assert score.interval == mean_intervals(columns[:, 1:], samples=2000, seed=0)[0]


def score_interval(gained: int, lost: int, n: int) -> list[float]:
    """Tango's interval by its definition: the likelihood of (both right or wrong, only one right) for each difference
    is maximised on a grid."""

    def distance(difference: float) -> float:
        q = np.linspace(max(0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9, 100_001)
        likelihood = (
            gained * np.log(q + difference) + lost * np.log(q) + (n - gained - lost) * np.log(1 - 2 * q - difference)
        )
        best = q[np.argmax(likelihood)]
        return abs(gained - lost - n * difference) / math.sqrt(n * (2 * best + difference - difference**2))

    ends = []
    for outermost in (-0.999, 0.999):
        inside, outside = (gained - lost) / n, outermost
        for _ in range(30):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if distance(middle) > Z else (middle, outside)
        ends.append(middle)
    return ends


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (3, 1, 20), (5, 0, 30)])
def test_the_difference_of_two_runs_has_tangos_interval(gained, lost, n):
    first = np.array([0] * gained + [1] * lost + [1] * (n - gained - lost), float)
    second = np.array([1] * gained + [0] * lost + [1] * (n - gained - lost), float)
    found = paired_difference(first, second, proportion=True, samples=100, seed=0)
    assert (found.value, found.count) == (pytest.approx((gained - lost) / n), n)
    assert found.interval == pytest.approx(score_interval(gained, lost, n), abs=1e-5)
    other_way_round = paired_difference(second, first, proportion=True, samples=100, seed=0)
    assert other_way_round.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_runs_that_agree_in_all_of_19_videos_may_differ_in_others():
    """Wilson's of 0 of 19, either way: wherever their accuracy is."""
    for values in (np.ones(19), np.zeros(19), np.arange(19) % 2):
        found = paired_difference(values, values, proportion=True, samples=100, seed=0)
        assert found.interval == pytest.approx((-0.1682, 0.1682), abs=5e-5)


def test_pairing_makes_a_difference_narrower():
    """1 in 20 videos differs; unpaired, the standard error would be that of two runs."""
    generator = np.random.default_rng(4)
    first = (generator.random(2000) < 0.5).astype(float)
    second = np.where(generator.random(2000) < 0.05, 1 - first, first)
    low, high = paired_difference(first, second, proportion=True, samples=100, seed=0).interval
    assert (high - low) / 2 == pytest.approx(Z * math.sqrt(0.05 / 2000), rel=0.15)
    assert (high - low) / 2 < 0.4 * Z * math.sqrt(2 * 0.25 / 2000)


def test_the_difference_of_scores_is_the_bootstrap_of_the_videos_differences():
    generator = np.random.default_rng(5)
    first = generator.gamma(2, size=500)
    second = first + generator.normal(0.1, 0.2, 500)
    figure = Figure(name="dynamic_score", value=None, unit="nats", level="video")
    found = difference_figure(figure, first, second, samples=5000, seed=0)
    half = Z * (second - first).std() / math.sqrt(500)
    assert (found.value, found.count) == (pytest.approx((second - first).mean()), 500)
    assert found.interval == pytest.approx((found.value - half, found.value + half), abs=0.1 * half)


def test_a_difference_needs_the_same_videos():
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        paired_difference(np.ones(3), np.ones(2), proportion=True, samples=100, seed=0)
    assert paired_difference(np.ones(1), np.zeros(1), proportion=True, samples=100, seed=0).interval is None


def test_seed_decides_the_resamples():
    columns = np.random.default_rng(0).random((50, 1))
    assert mean_intervals(columns, samples=200, seed=7) == mean_intervals(columns, samples=200, seed=7)
    assert mean_intervals(columns, samples=200, seed=7) != mean_intervals(columns, samples=200, seed=8)


def test_one_video_has_no_interval():
    assert mean_intervals(np.array([[0.5, 1.0]]), samples=100, seed=0) == [None, None]
    assert log_ratio(np.array([1.0]), np.array([0.5]), samples=100, seed=0).interval is None


def test_videos_that_all_count_the_same_in_part_are_not_known_for_certain():
    """Two videos, one view of two right in each: as much as one video right and one wrong, until more are seen."""
    assert proportion_interval(np.array([0.5, 0.5])) == pytest.approx(proportion_interval(np.array([0.0, 1.0])))
    third = np.full(5, 1 / 3)
    # 1.96 sqrt(2/9/5 + 3.8415/100) / 1.7683 = 0.31905 to both sides of (1/3 + 0.38415) / 1.7683 = 0.40575
    assert proportion_interval(third) == pytest.approx((0.0867, 0.7248), abs=1e-4)
    difference = paired_difference(third, third + 0.1, proportion=True, samples=10, seed=0)
    assert difference.value == pytest.approx(0.1)
    assert difference.interval[0] < -0.2
    assert difference.interval[1] > 0.4


def test_percentiles_are_taken_outwards_and_survive_infinities():
    assert percentile_interval(np.arange(100.0)) == (2.0, 97.0)
    draws = np.concatenate([np.arange(95.0), np.full(5, np.inf)])
    assert percentile_interval(draws) == (2.0, math.inf)


def test_two_accuracies_of_100_percent_leave_the_ratio_open_a_little():
    """ln(0.8318) = -0.184: either may be as low as Wilson's interval of 19 of 19."""
    result = log_ratio(np.ones(19), np.ones(19), samples=100, seed=0)
    assert result.value == 0
    assert result.interval == pytest.approx((-0.184, 0.184), abs=5e-4)


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


def test_difference_of_two_log_ratios_is_that_of_the_delta_method():
    """Four independent accuracies over 2,000 videos: Var[ln mean] = (1 - p) / (n p)."""
    rng, n, p = np.random.default_rng(0), 2000, (0.9, 0.4, 0.8, 0.6)
    columns = [rng.permutation(np.arange(n) < share * n).astype(float) for share in p]
    value = math.log(0.8 / 0.6) - math.log(0.9 / 0.4)
    half = 1.96 * math.sqrt(sum((1 - share) / (n * share) for share in p))

    low, high = log_ratio_difference(*columns, samples=4000, seed=0)

    assert low == pytest.approx(value - half, abs=0.1 * half)
    assert high == pytest.approx(value + half, abs=0.1 * half)


def test_log_ratios_of_the_same_answers_do_not_differ():
    original, shuffled = np.array([1.0, 1, 1, 0] * 20), np.array([1.0, 0, 1, 0] * 20)

    assert log_ratio_difference(original, shuffled, original, shuffled, samples=200, seed=0) == (0.0, 0.0)


def test_log_ratios_that_may_be_undefined_have_no_interval():
    rare = np.eye(40)[0]  # right on one video, which many resamples lack

    assert log_ratio_difference(np.ones(40), rare, np.ones(40), np.ones(40), samples=200, seed=0) is None
    assert log_ratio_difference(*[np.ones(1)] * 4, samples=200, seed=0) is None


@pytest.mark.parametrize(
    ("first", "second", "published"),
    [((48, 80), (56, 70), (0.0524, 0.3339)), ((3, 10), (9, 10), (0.1705, 0.8090)), ((0, 10), (10, 10), (0.6075, 1.0))],
)
def test_the_difference_of_two_sets_has_newcombes_interval(first, second, published):
    """Method 10 in Table II of Statistics in Medicine 17 (1998), 873-890."""
    sets = [np.repeat([1.0, 0.0], [right, total - right]) for right, total in (first, second)]
    found = unpaired_difference(*sets)
    assert found.value == pytest.approx(second[0] / second[1] - first[0] / first[1])
    assert found.interval == pytest.approx(published, abs=6e-5)
    assert unpaired_difference(sets[0][:1], sets[1]).interval is None


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
