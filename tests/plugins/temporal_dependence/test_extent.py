"""Temporal extent of networks whose temporal receptive field is known."""

import numpy as np
import pytest

from pvbias.plugins.temporal_dependence import Cut, TemporalDependence, half_length, temporal_extent

from .toys import FRAMES, Apart, Still, config, feed, moving, recognizer

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 15)


def extent(module, videos):
    evaluator = TemporalDependence(config(TEMPORAL_CURVES=["cut"]), recognizer(module), ())
    return feed(evaluator, videos)[0]["extent", "clip", "original"]


@pytest.mark.parametrize("apart", [1, 4, 15])
def test_the_extent_of_a_network_is_its_temporal_receptive_field(apart):
    found = extent(Apart(apart), [moving(number, (1, -1)[number % 2], apart) for number in range(24)])
    assert found.value == pytest.approx(apart + 1, rel=0.08)
    assert found.interval[0] <= apart + 1 <= found.interval[1]


def test_the_extent_does_not_depend_on_the_scale_of_the_logits():
    videos = [moving(number, 1, 2) for number in range(8)]
    assert extent(Apart(2, 1.0), videos).value == pytest.approx(extent(Apart(2, 50.0), videos).value)


def test_a_network_that_averages_frames_has_none():
    found = extent(Still(), [moving(number, 1, 1) for number in range(8)])
    assert found.value is None
    assert "does not fall" in found.note


def test_one_video_tells_no_extent_and_not_that_there_is_none():
    found = extent(Apart(1), [moving(0, 1, 1)])
    assert found.value is None
    assert "a single video" in found.note


def test_half_of_the_score_is_between_the_lengths_around_it():
    assert half_length(np.array([1.0, 0.5, 0.25]), [1, 2, 4]) == pytest.approx(2)
    assert half_length(np.minimum(1, 3 / np.array(LENGTHS)), LENGTHS) == pytest.approx(6)
    assert half_length(np.minimum(1, 10 / np.array(LENGTHS)), LENGTHS) == pytest.approx(20)  # longer than a clip
    assert half_length(np.array([2.0, 2.2, 0.0]), [1, 2, 4]) == pytest.approx(1 / (0.5 - 0.5 * 0.25))


def cut_pairs(apart, count):
    """The share of pairs of frames so far apart that clips lose which are cut, each as it happens to be: (count, G)."""
    rows = np.empty((count, len(LENGTHS)))
    for video in range(count):
        for column, length in enumerate(LENGTHS):
            places = np.argsort(Cut(length=length).order(FRAMES, 1000 + video).numpy())
            rows[video, column] = (places[apart:] - places[:-apart] != apart).mean()
    return rows


def test_the_interval_covers_the_field():
    """95 % of intervals should, of which 40 are looked at; videos differ in the size of their scores, and in noise."""
    generator = np.random.default_rng(0)
    covered = 0
    for seed, clips in enumerate(np.split(cut_pairs(3, 800), 40)):
        losses = generator.gamma(4, size=(20, 1)) * clips + generator.normal(0, 0.3, clips.shape)
        low, high = temporal_extent(losses, LENGTHS, FRAMES, samples=100, seed=seed).interval
        covered += low <= 4 <= high
    assert covered >= 34  # fewer with a probability of 0.3 % were it 95 %


def test_where_shuffling_costs_nothing_there_is_mostly_no_extent():
    """Losses that are noise: the lower end of a 95 % interval is above 0 in 2.5 % of cases."""
    generator = np.random.default_rng(0)
    found = [
        temporal_extent(generator.normal(size=(30, len(LENGTHS))), LENGTHS, FRAMES, samples=100, seed=seed).value
        for seed in range(100)
    ]
    assert sum(value is not None for value in found) <= 8
