"""95 % intervals over videos: Wilson's for proportions, the bootstrap for everything else.

The videos are the sample, and never their clips, which are not independent of one another.

- A proportion (an accuracy, a share of videos) has Wilson's score interval, which says something at 0 and 100 %, too:
  0 of 19 videos is [0, 16.8] %, where a bootstrap, whose resamples are all alike there, would say [0, 0].
- Other means and ratios: whole videos are resampled (percentile bootstrap). All such intervals of one set of videos
  come from the same resamples, and those are a function of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from .results import Figure

#: Part of the resamples that lies outside an interval, half on each side.
_OUTSIDE = 0.05

#: Standard errors from the middle of a normal distribution to the ends of its 95 %.
_Z = NormalDist().inv_cdf(1 - _OUTSIDE / 2)

#: Variance over videos up to which they all count the same: that of rounding.
_ALIKE = 1e-12

#: Entries of the resampling matrix (resamples x videos) that are held in memory at a time.
_CHUNK = 1 << 22

#: Videos up to which each is drawn by itself, and groups that more are drawn in.
_SINGLY, _GROUPS = 1 << 16, 1 << 14


def resampled_means(columns: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """Means of each column over resampled videos.

    More than 65,536 videos are drawn in 16,384 random groups of equal size (or one more): videos are independent, and a
    mean of n of them varies as one of all groups' means does, at a cost that no longer grows with n. A resampled
    standard error is then off by less than a hundredth, as it is with 2,000 resamples anyway.

    Args:
        columns: ``(n, m)``, one row a video, n >= 1.
        samples: B, resamples.
        seed: of the resamples; the same for the same n whatever the columns are.

    Returns:
        float64 ``(B, m)``.
    """
    columns = np.asarray(columns, dtype=np.float64)
    generator = np.random.default_rng(seed)
    sizes = np.ones(len(columns))
    if len(columns) > _SINGLY:
        order = generator.permutation(len(columns))
        first = np.linspace(0, len(columns), _GROUPS, endpoint=False).astype(np.int64)
        sizes = np.diff(first, append=len(columns)).astype(np.float64)
        columns = np.add.reduceat(columns[order], first)
    means = np.empty((samples, columns.shape[1]))
    start = 0
    for drawn in resampled_counts(generator, len(columns), samples):
        means[start : start + len(drawn)] = drawn @ columns / (drawn @ sizes)[:, None]
        start += len(drawn)
    return means


def resampled_counts(generator: np.random.Generator, units: int, samples: int) -> Iterator[np.ndarray]:
    """How often each of n units is drawn in each of B resamples, float64 ``(b, n)``, some resamples at a time: a matrix
    product then serves all columns at once."""
    rows_at_once = max(_CHUNK // units, 1)
    for start in range(0, samples, rows_at_once):
        rows = min(rows_at_once, samples - start)
        drawn = generator.integers(units, size=(rows, units)) + np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


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


def proportion_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Wilson's 95 % score interval of a proportion over videos; None for a single video.

    Where every video counts 0 or 1, as many trials as videos::

        (p + z^2 / 2m  -+  z sqrt(p (1 - p) / m + z^2 / 4m^2)) / (1 + z^2 / m),    m = n,  z = 1.96

    Where videos count in part (the share of a video's views that are right), m is the effective number of trials: as
    many as give the mean the variance that it has over videos, ``m = n p (1 - p) / var``. It is n at least: were all
    views of a video alike, it would be n. Where all videos count the
    same, as at 0 and at 1, nothing tells how alike they are, and it is n.

    Args:
        values: ``(n,)``, one a video, in [0, 1], n >= 1.
    """
    values = np.asarray(values, dtype=np.float64)
    trials = float(len(values))
    if trials < 2:
        return None
    p, variance = float(values.mean()), float(values.var())
    if variance > _ALIKE:
        # Videos that count 0 or 1 have the variance p (1 - p); max: rounding.
        trials = max(trials, trials * p * (1 - p) / variance)
    return wilson_interval(p, trials)


def wilson_interval(p: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion p in so many trials, which need not be whole."""
    middle = p + _Z**2 / (2 * trials)
    half = _Z * math.sqrt(p * (1 - p) / trials + _Z**2 / (4 * trials**2))
    low, high = ((middle + sign * half) / (1 + _Z**2 / trials) for sign in (-1, 1))
    return (0.0 if p == 0 else low), (1.0 if p == 1 else high)


def mean_figures(templates: Sequence[Figure], columns: np.ndarray, *, samples: int, seed: int) -> list[Figure]:
    """Compute figures that are means over videos, with their intervals (Wilson's where the unit is "%", else the
    bootstrap's) and the values of each video.

    Args:
        templates: m figures that lack value, interval and count.
        columns: ``(n, m)``, one row a video, n >= 1; shares in [0, 1] where the unit is "%".
        samples, seed: as for :func:`resampled_means`.
    """
    columns = np.asarray(columns, dtype=np.float64)
    resampled = mean_intervals(columns, samples=samples, seed=seed)
    figures = []
    for figure, column, interval in zip(templates, columns.T, resampled, strict=True):
        if figure.unit == "%":
            interval = proportion_interval(column)
        scale = 100.0 if figure.unit == "%" else 1.0
        ends = None if interval is None else (scale * interval[0], scale * interval[1])
        value = scale * float(column.mean())
        figures.append(replace(figure, value=value, interval=ends, count=len(column), values=column))
    return figures


@dataclass(frozen=True)
class Difference:
    """The difference of a second run to a first one on the same videos.

    Attributes:
        value: the mean of ``second - first`` over videos.
        interval: 95 % over videos; None for a single video.
        count: videos.
    """

    value: float
    interval: tuple[float, float] | None
    count: int


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, proportion: bool, samples: int, seed: int
) -> Difference:
    """The difference between two runs on the same videos, video by video, with its 95 % interval.

    Much narrower than what the two runs' own intervals suggest where the runs are right on the same videos. 0 outside
    the interval: the runs differ by more than which videos happened to be drawn.

    To use it on two runs' accuracies: join the runs' ``predictions.npz`` (:func:`pvbias.report.read_predictions`)
    by video, take each run's ``top_k_credit`` of every video (:mod:`pvbias.evaluation.accuracy`) as ``first`` and
    ``second``, ``proportion=True``, and 100 times the result is in points of accuracy. For scores in nats,
    ``proportion=False``.

    Proportions: Tango's score interval for paired proportions (Statistics in Medicine 17, 1998), all ``d`` with::

        |B - C - d| <= z sqrt((2 q + d (1 - d)) / m),    q = (sqrt(Q^2 + 8 C d (1 - d)) - Q) / 4,
                                                     Q = (2 - B + C) d - B - C

    ``B`` and ``C``: the mean of what the second (first) run has more, over all videos: the shares of videos that only
    it has right. ``q`` is the maximum-likelihood estimate of ``C`` where the difference is ``d``. ``m``: videos, or
    the effective number of trials where videos count in part (as in :func:`proportion_interval`). Two runs that agree
    in all of 19 videos differ by [-16.8, 16.8] points, and not by [0, 0]: Wilson's interval of 0 of 19, either way.

    Other quantities: the bootstrap over videos.

    Args:
        first, second: ``(n,)``, one value a video, the same videos in the same order, n >= 1; in [0, 1] for
            proportions.
        proportion: the values are 0 or 1, or shares.
        samples, seed: as for :func:`resampled_means`.

    Raises:
        ValueError: there are not as many values in both.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"Values of the same videos are two rows of one length, not {first.shape} and {second.shape}.")
    differences = second - first
    if proportion:
        interval = _tango(differences)
    else:
        (interval,) = mean_intervals(differences[:, None], samples=samples, seed=seed)
    return Difference(float(differences.mean()), interval, len(differences))


def unpaired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of proportions between two sets of videos, with Newcombe's 95 % hybrid score interval (Statistics
    in Medicine 17, 1998, method 10): from each set's own :func:`proportion_interval` ``[l, u]`` around p::

        d - sqrt((p2 - l2)^2 + (u1 - p1)^2)   to   d + sqrt((u2 - p2)^2 + (p1 - l1)^2),    d = p2 - p1

    Args:
        first, second: ``(n,)`` and ``(m,)``, one value a video, in [0, 1]; n, m >= 1.

    Returns:
        Of the second set less the first one; ``count`` is n + m. Without an interval where a set has a single video.
    """
    p1, p2, interval = float(np.mean(first)), float(np.mean(second)), None
    own, others = proportion_interval(first), proportion_interval(second)
    if own is not None and others is not None:
        below, above = math.hypot(p2 - others[0], own[1] - p1), math.hypot(others[1] - p2, p1 - own[0])
        interval = (p2 - p1 - below, p2 - p1 + above)
    return Difference(p2 - p1, interval, len(first) + len(second))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given: below a level for any true null hypothesis with at most that
    probability."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted


def difference_figure(template: Figure, first: np.ndarray, second: np.ndarray, *, samples: int, seed: int) -> Figure:
    """The figure of a paired difference (:func:`paired_difference`).

    Args:
        template: a figure that lacks value, interval and count. Its unit "points": the values are 0 or 1, or shares,
            and the figure is in points of accuracy; another: they are in that unit.
        first, second, samples, seed: as for :func:`paired_difference`.
    """
    points = template.unit == "points"
    found, scale = (
        paired_difference(first, second, proportion=points, samples=samples, seed=seed),
        100.0 if points else 1.0,
    )
    ends = None if found.interval is None else (scale * found.interval[0], scale * found.interval[1])
    return replace(template, value=scale * found.value, interval=ends, count=found.count)


def _tango(differences: np.ndarray) -> tuple[float, float] | None:
    n = len(differences)
    if n < 2:
        return None
    gained, lost = float(differences.clip(min=0).mean()), float((-differences).clip(min=0).mean())
    value = gained - lost
    variance, of_whole_videos = float(differences.var()), gained + lost - value**2
    # The same in all videos: nothing tells how alike a video's views are.
    trials = max(n, n * of_whole_videos / variance) if variance > _ALIKE else float(n)

    def outside(difference: float) -> float:
        q_of = (2 - gained + lost) * difference - gained - lost
        between = difference * (1 - difference)
        q = (math.sqrt(max(q_of**2 + 8 * lost * between, 0.0)) - q_of) / 4
        spread = max(2 * q + between, 0.0)
        return abs(value - difference) - _Z * math.sqrt(spread / trials)

    return _boundary(outside, value, -1.0), _boundary(outside, value, 1.0)


def _boundary(outside: Callable[[float], float], inner: float, outer: float) -> float:
    """Find where ``outside`` becomes positive between ``inner``, where it is not, and ``outer``."""
    for _ in range(60):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if outside(middle) > 0 else (middle, outer)
    return (inner + outer) / 2


@dataclass(frozen=True)
class Estimate:
    """A quantity over videos.

    Attributes:
        value: None where it is undefined; ``note`` then says why.
        interval: 95 % over videos; an end may be infinite. None where there is none.
        count: videos.
        note: what is undefined or infinite, and why; empty when nothing is.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    count: int = 0
    note: str = ""


def log_of_ratio(original: float, modulated: float) -> float:
    """``ln(A / A_modulated)`` of two accuracies; infinite where one of them is 0, NaN where both are.

    The natural logarithm is the one that reproduces the paper's Table 1.
    """
    if modulated == 0:
        return math.inf if original else math.nan
    return math.log(original / modulated) if original else -math.inf


def log_ratio(original: np.ndarray, modulated: np.ndarray, *, samples: int, seed: int) -> Estimate:
    """``ln(A / A_modulated)`` of two mean accuracies over the same videos (the natural logarithm reproduces the paper's
    Table 1).

    In a resample where only ``A_modulated`` is zero the ratio counts as +infinity, where only ``A`` is, as -infinity:
    both are what the ratio tends to, and an end of the interval that falls there is infinite. A resample where both
    are zero says nothing and is left out. Either is mentioned in the note. Where both accuracies are 1, and all
    resamples alike, the ends are those of the ratio of 1 to the lower end of Wilson's interval.

    Args:
        original, modulated: ``(n,)`` accuracy of each video in [0, 1], n >= 1.
    """
    mean, modulated_mean = float(np.mean(original)), float(np.mean(modulated))
    value, count = log_of_ratio(mean, modulated_mean), len(original)
    if math.isnan(value):
        return Estimate(None, count=count, note="undefined: both accuracies are 0")
    if math.isinf(value):
        what, where = ("zero denominator", "modulated") if value > 0 else ("logarithm of 0", "original")
        return Estimate(None, count=count, note=f"undefined ({what}): the accuracy on the {where} clips is 0")
    if count < 2:
        return Estimate(value, count=count)
    if mean == modulated_mean == 1:
        lowest, _ = proportion_interval(original) or (1.0, 1.0)
        return Estimate(value, (math.log(lowest), -math.log(lowest)), count)
    means = resampled_means(np.stack([original, modulated], axis=1), samples=samples, seed=seed)
    return _with_interval(value, means, count)


def log_ratio_figure(
    template: Figure, original: np.ndarray, modulated: np.ndarray, *, samples: int, seed: int
) -> Figure:
    """The figure of a log ratio (:func:`log_ratio`).

    Args:
        template: a figure that lacks value, interval, count and note.
        original, modulated, samples, seed: as for :func:`log_ratio`.
    """
    ratio = log_ratio(original, modulated, samples=samples, seed=seed)
    return replace(template, value=ratio.value, interval=ratio.interval, count=ratio.count, note=ratio.note)


def log_ratio_difference(
    original: np.ndarray,
    modulated: np.ndarray,
    other_original: np.ndarray,
    other_modulated: np.ndarray,
    *,
    samples: int,
    seed: int,
) -> tuple[float, float] | None:
    """95 % interval of the difference of two runs' log ratios on the same videos, ``ln(B / B_modulated) - ln(A /
    A_modulated)``: bootstrap over videos, the same ones for all four accuracies.

    Args:
        original, modulated: ``(n,)``, in [0, 1], the first run's accuracy A of each video.
        other_original, other_modulated: the second run's, B, of the same videos in the same order.

    Returns:
        None where a resample says nothing: an accuracy is 0 there, or there is a single video.
    """
    columns = np.stack([original, modulated, other_original, other_modulated], axis=1)
    if len(columns) < 2:
        return None
    means = resampled_means(columns, samples=samples, seed=seed)
    if (means <= 0).any():
        return None
    a, a_modulated, b, b_modulated = np.log(means).T
    return percentile_interval((b - b_modulated) - (a - a_modulated))


def _with_interval(value: float, means: np.ndarray, count: int) -> Estimate:
    """``means``: ``(B, 2)``, resampled accuracies."""
    # A mean of zeros is exactly 0 here, since counts are not negative.
    defined = means[(means > 0).any(axis=1)]
    if not len(defined):
        return Estimate(value, count=count, note="no interval: both accuracies are 0 in all resamples")
    with np.errstate(divide="ignore"):
        interval = percentile_interval(np.log(defined[:, 0]) - np.log(defined[:, 1]))
    notes = []
    if not all(map(math.isfinite, interval)):
        low, high = interval
        notes.append(f"95 % interval from {low:.3g} to {high:.3g}: an accuracy is 0 in part of the resamples")
    if len(defined) < len(means):
        notes.append(f"{len(means) - len(defined)} of {len(means)} resamples left out: both accuracies are 0 in them")
    return Estimate(value, interval, count, "; ".join(notes))
