"""Bootstrap intervals over videos.

The videos are the sample: the clips of one video are not independent, so whole videos are resampled (percentile
bootstrap, 95 %). All intervals of one set of videos come from the same resamples, and those are a function of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .results import Figure

#: Part of the resamples that lies outside an interval, half on each side.
_OUTSIDE = 0.05

#: Entries of the resampling matrix (resamples x videos) that are held in memory at a time.
_CHUNK = 1 << 22


def resampled_means(columns: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """Means of each column over resampled videos.

    Args:
        columns: ``(n, m)``, one row a video, n >= 1.
        samples: B, resamples.
        seed: of the resamples; the same for the same n whatever the columns are.

    Returns:
        float64 ``(B, m)``.
    """
    columns = np.asarray(columns, dtype=np.float64)
    num_videos = len(columns)
    generator = np.random.default_rng(seed)
    rows_at_once = max(_CHUNK // num_videos, 1)
    means = np.empty((samples, columns.shape[1]))
    for start in range(0, samples, rows_at_once):
        rows = min(rows_at_once, samples - start)
        drawn = generator.integers(num_videos, size=(rows, num_videos))
        # How often each video was drawn: a matrix product then serves all columns at once.
        drawn += np.arange(rows)[:, None] * num_videos
        counts = np.bincount(drawn.ravel(), minlength=rows * num_videos).reshape(rows, num_videos)
        means[start : start + rows] = counts.astype(np.float64) @ columns / num_videos
    return means


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of resampled statistics ``(B,)``, which may be infinite but not NaN.

    The ends are draws, taken outwards: nothing is interpolated, so an infinite draw is an infinite end or none.
    """
    ordered = np.sort(draws)
    last = len(ordered) - 1
    low = ordered[math.floor(_OUTSIDE / 2 * last)]
    high = ordered[math.ceil((1 - _OUTSIDE / 2) * last)]
    return float(low), float(high)


def mean_intervals(columns: np.ndarray, *, samples: int, seed: int) -> list[tuple[float, float] | None]:
    """An interval for each column's mean over videos; None for a single video, which says nothing about others.

    Args:
        columns: ``(n, m)``, one row a video.
    """
    if len(columns) < 2:
        return [None] * columns.shape[1]
    return [percentile_interval(means) for means in resampled_means(columns, samples=samples, seed=seed).T]


def mean_figures(templates: Sequence[Figure], columns: np.ndarray, *, samples: int, seed: int) -> list[Figure]:
    """Figures that are means over videos, with their intervals.

    Args:
        templates: m figures that lack value, interval and count.
        columns: ``(n, m)``, one row a video, n >= 1; shares in [0, 1] where the unit is "%".
        samples, seed: as for :func:`resampled_means`.
    """
    columns = np.asarray(columns, dtype=np.float64) * [100.0 if figure.unit == "%" else 1.0 for figure in templates]
    intervals = mean_intervals(columns, samples=samples, seed=seed)
    return [
        replace(figure, value=float(mean), interval=interval, count=len(columns))
        for figure, mean, interval in zip(templates, columns.mean(0), intervals, strict=True)
    ]


@dataclass(frozen=True)
class LogRatio:
    """``ln(A / B)`` of two accuracies.

    Attributes:
        value: the log ratio; None where an accuracy of zero leaves it undefined.
        interval: 95 % over videos; an end may be infinite. None where there is none.
        note: what is undefined or infinite, and why; empty when nothing is.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    note: str = ""


def log_ratio(original: np.ndarray, modulated: np.ndarray, *, samples: int, seed: int) -> LogRatio:
    """``ln(A / A_modulated)`` of two mean accuracies over the same videos, natural logarithm (the natural one is what
    reproduces the paper's Table 1).

    In a resample where only ``A_modulated`` is zero the ratio counts as +infinity, where only ``A`` is, as -infinity:
    both are what the ratio tends to, and an end of the interval that falls there is infinite. A resample where both
    are zero says nothing and is left out. Either is mentioned in the note.

    Args:
        original, modulated: ``(n,)`` accuracy of each video in [0, 1], n >= 1.
    """
    accuracy, modulated_accuracy = float(np.mean(original)), float(np.mean(modulated))
    if accuracy == 0 and modulated_accuracy == 0:
        return LogRatio(None, note="undefined: both accuracies are 0")
    if modulated_accuracy == 0:
        return LogRatio(None, note="undefined (zero denominator): the accuracy on the modulated clips is 0")
    if accuracy == 0:
        return LogRatio(None, note="undefined (logarithm of 0): the accuracy on the original clips is 0")
    value = math.log(accuracy / modulated_accuracy)
    if len(original) < 2:
        return LogRatio(value)
    means = resampled_means(np.stack([original, modulated], axis=1), samples=samples, seed=seed)
    return _with_interval(value, means)


def _with_interval(value: float, means: np.ndarray) -> LogRatio:
    """``means``: ``(B, 2)``, resampled accuracies."""
    # A mean of zeros is exactly 0 here, since counts are not negative.
    defined = means[(means > 0).any(axis=1)]
    if not len(defined):
        return LogRatio(value, note="no interval: both accuracies are 0 in all resamples")
    with np.errstate(divide="ignore"):
        interval = percentile_interval(np.log(defined[:, 0]) - np.log(defined[:, 1]))
    notes = []
    if not all(map(math.isfinite, interval)):
        low, high = interval
        notes.append(f"95 % interval from {low:.3g} to {high:.3g}: an accuracy is 0 in part of the resamples")
    if len(defined) < len(means):
        notes.append(f"{len(means) - len(defined)} of {len(means)} resamples left out: both accuracies are 0 in them")
    return LogRatio(value, interval, "; ".join(notes))
