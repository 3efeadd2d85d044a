"""Correlations over pairs, against numpy and closed forms; the null and the intervals cover at their rates."""

import numpy as np
import pytest

from pvbias.plugins.factor_units.correlations import (
    KINDS,
    constant_channels,
    correlation,
    dynamic_share,
    information,
    kinds,
    mispaired_correlations,
    null_quantile,
    resampled_correlations,
)


def pairs(videos, channels, rho=0.0, seed=0):
    """Jointly normal pairs with that correlation, of any mean and size."""
    generator = np.random.default_rng(seed)
    shared, first, second = generator.standard_normal((3, videos, channels))
    a, b = (np.sqrt(rho) * shared + np.sqrt(1 - rho) * own for own in (first, second))
    return 40 + 3 * a, -7 + 0.02 * b


def test_it_is_pearsons():
    first, second = pairs(30, 5, 0.6)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)]
    np.testing.assert_allclose(correlation(first, second), expected, atol=1e-12)


def test_constant_channels_have_none():
    first, second = pairs(30, 3, 0.9)
    first[:, 1] = np.float32(0.1) + np.float32(1e-9) * np.arange(30)
    assert constant_channels(first, second).tolist() == [False, True, False]
    assert correlation(first, second)[1] == 0
    assert (mispaired_correlations(first, second, count=19, seed=0)[:, 1] == 0).all()
    assert (resampled_correlations(first, second, samples=50, seed=0)[:, 1] == 0).all()


def test_information_is_that_of_normal_variables():
    """1/2 log2(1 + SNR) bits for rho^2 = SNR / (1 + SNR); capped."""
    snr = np.array([0.0, 1.0, 3.0, 15.0])
    found = information(-np.sqrt(snr / (1 + snr))) / np.log(2)
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0, 2.0], atol=1e-12)
    assert information(np.array([1.0])) == pytest.approx(np.log(1000) / 2)


def test_shares_and_kinds():
    assert dynamic_share(np.array(1.2), np.array(1.2)) == 0.5
    assert dynamic_share(np.log(3.0), np.array(0.0)) == pytest.approx(0.75)
    found = kinds(np.array([0.9, 0.1, 0.9, 0.5]), np.array([0.1, 0.9, 0.9, 0.5]), 0.5, 0.5)
    assert [KINDS[kind] for kind in found] == ["dynamic", "static", "joint", "neither"]


@pytest.mark.parametrize("videos", [12, 60])
def test_where_nothing_is_shared_five_in_a_hundred_exceed_the_null(videos):
    """Heavy tails, as of units that few videos move, where a normal theory would not hold."""
    first, second = (
        np.exp(2 * (values - values.mean(0)) / values.std(0)) for values in pairs(videos, 1500, seed=videos)
    )
    least = null_quantile(mispaired_correlations(first, second, count=199, seed=1))
    share = (correlation(first, second) > least).mean()
    assert share == pytest.approx(0.05, abs=0.02)  # 3.5 standard errors of 1500 units


def test_what_is_shared_exceeds_it():
    first, second = pairs(60, 200, 0.6)
    least = null_quantile(mispaired_correlations(first, second, count=199, seed=1))
    assert (correlation(first, second) > least).mean() > 0.99


def test_intervals_cover_at_their_rate():
    """Of the information of a layer's factor: 200 layers of one true correlation."""
    videos, rho = 80, 0.5
    covered = 0
    for seed in range(200):
        drawn = resampled_correlations(*pairs(videos, 1, rho, seed), samples=200, seed=0)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered += low <= rho <= high
    assert covered / 200 == pytest.approx(0.95, abs=0.05)


def test_resamples_are_those_of_whole_videos():
    """A resample of two videos' pairs is +-1 or undefined."""
    first, second = np.array([[0.0], [1.0]]), np.array([[5.0], [3.0]])
    found = resampled_correlations(first, second, samples=40, seed=0)
    assert set(np.round(found[:, 0], 9)) == {-1.0, 0.0}
