"""Temporal extent: over how many frames a recogniser relates what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

from pvbias.evaluation.statistics import Estimate, percentile_interval, resampled_means

from .rearrangements import Cut

#: Logits that may be lost by rounding.
_ROUNDING = 1e-4
#: Probability of an extent where shuffling costs nothing.
_ERROR = 0.025
#: Clips that are cut to see how often distant frames keep their distance by chance.
_TRIED = 300


def half_length(losses: np.ndarray, lengths: Sequence[int]) -> float:
    """The segment length at which half of the score is there again, in frames; NaN where shuffling costs nothing.

    Half: the loss is half of what it is in segments of one frame. Losses are made to fall with the length
    (isotonic regression), and interpolated linearly in 1 / length, from no loss at all at 0: exact for a network whose
    loss is ``min(1, L / length)``, see :func:`temporal_extent`. It may be more than the frames of a clip.

    Args:
        losses: of score, on clips that are cut into segments of ``lengths`` frames, ``(G,)``.
        lengths: ascending, from 1.
    """
    if not losses[0] > 0:
        return float("nan")
    share = isotonic_regression(losses / losses[0], increasing=False).x
    share = np.append(share / share[0], 0.0)
    inverse = np.append(1 / np.asarray(lengths, dtype=np.float64), 0.0)
    after = int(np.argmax(share <= 0.5))  # the last one is 0
    part = (share[after - 1] - 0.5) / (share[after - 1] - share[after])
    return float(1 / (inverse[after - 1] + part * (inverse[after] - inverse[after - 1])))


def temporal_extent(
    losses: np.ndarray, lengths: Sequence[int], num_frames: int, *, samples: int, seed: int
) -> Estimate:
    """The temporal extent of a recogniser in frames, from the loss of its class score on clips that are cut.

    In clips that are cut into segments of k frames at random places (:class:`.rearrangements.Cut`), two frames that are
    L apart are separated with the probability ``min(1, L / k)``. A network that scores windows of R frames by how their
    first frame goes with their last one (L = R - 1), and averages over time, loses this share of what it loses when all
    frames are shuffled: half of it at ``k = 2 (R - 1)``. The temporal extent is the receptive field R of the network of
    this kind that has half of its score at the same length as the one at hand (:func:`half_length`)::

        extent = 1 + k / 2,     k: the segment length at which half of the score is there again

    but for frames that are as far apart as they were by chance, which is counted (:func:`expected_losses`).

    Of a network that relates frames at several distances it is 1 + their mean, weighted by what the score owes to each,
    where none is beyond k. It is no larger than the receptive field of a network that averages its windows, and smaller
    where the ends of its windows count little: the extent that is *used*. Where one good window is enough (a maximum
    over time) it is smaller, too, by about half.

    It takes a score that adds up over windows, as logits do: a probability or an accuracy that is near its ceiling has
    half again from fewer windows.

    Args:
        losses: of each video, ``(n, G)``, n >= 1.
        lengths: k of each column, ascending, from 1 to T - 1: fields beyond the longest look alike.
        num_frames: T of the clips.
        samples, seed: of the bootstrap over videos.

    Returns:
        Undefined where a network's loss by shuffling cannot be told from none (one-sided t-test over videos, 2.5 %).
        The interval is of the resamples in which it is defined.
    """
    losses = np.asarray(losses, dtype=np.float64)
    shuffled = losses[:, 0]
    if shuffled.mean() <= _ROUNDING or not _above_zero(shuffled):
        note = "undefined: the score does not fall by more than chance when frames are shuffled"
        if len(losses) < 2:
            note = "undefined: a single video does not tell a fall of the score from chance"
        return Estimate(None, count=len(losses), note=note)
    means = resampled_means(losses, samples=samples, seed=seed)
    known = [half_length(row, lengths) for row in expected_losses(tuple(lengths), num_frames)]
    fields = np.arange(2, num_frames + 1)

    def extent(of: np.ndarray) -> float:
        return float(np.interp(half_length(of, lengths), np.maximum.accumulate(known), fields))

    draws = np.array([extent(mean) for mean in means if mean[0] > 0])
    return Estimate(extent(losses.mean(0)), percentile_interval(draws), len(losses))


def _above_zero(values: np.ndarray) -> bool:
    if len(values) < 2 or not np.ptp(values):
        return len(values) > 1
    return bool(stats.ttest_1samp(values, 0.0, alternative="greater").pvalue < _ERROR)


@lru_cache(maxsize=8)
def expected_losses(lengths: tuple[int, ...], num_frames: int) -> np.ndarray:
    """The share of pairs of frames L apart that are so no longer in clips that are cut, for L = 1 .. T - 1 (rows) and
    segments of ``lengths`` frames (columns).

    Below the length of a segment ``L / length``, for cuts at random places; from there on all but those that are L
    apart again by chance, in 300 clips.
    """
    frames = np.arange(num_frames)
    expected = np.empty((num_frames - 1, len(lengths)))
    for column, length in enumerate(lengths):
        places = [np.argsort(Cut(length=length).order(num_frames, seed).numpy()) for seed in range(_TRIED)]
        moved = np.array(places)
        for apart in frames[1:]:
            again = (moved[:, apart:] - moved[:, :-apart] == apart).mean()
            expected[apart - 1, column] = apart / length if apart < length else 1 - again
    return expected
