"""Scores of classifiers: top-k accuracy, mean class accuracy and mean average precision, with intervals over videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from pvbias.evaluation import Figure
from pvbias.evaluation.accuracy import top_k_credit
from pvbias.evaluation.statistics import mean_figures, percentile_interval, resampled_counts

#: Resamples and seed of the bootstrap, as for :func:`pvbias.evaluation.statistics.resampled_means`.
BOOTSTRAP = {"samples": 2000, "seed": 0}


def evaluate_scores(
    scores: np.ndarray, labels: np.ndarray, *, variant: str = "original", note: str = "", samples: int, seed: int
) -> list[Figure]:
    """Figures of class scores, with 95 % intervals over videos.

    - One label a video: ``top1``, ``top5`` where there are more than five classes (ties broken at random, in the mean),
      and ``mean_class_accuracy``, the mean over the classes that occur of each class's top-1 accuracy.
    - Several labels: ``map``, the mean over the classes that occur of their average precision.

    Args:
        scores: ``(n, K)``, the higher the likelier; or of several fits, such as of several seeds, ``(S, n, K)``: the
            means of their figures.
        labels: int64 ``(n,)``, or bool ``(n, K)`` where videos may have several.
        variant: the clips, for the figures.
        note: for all figures.
        samples, seed: of the bootstrap, as for :func:`pvbias.evaluation.statistics.resampled_means`.
    """
    fits = scores if scores.ndim == 3 else scores[None]
    template = Figure(name="", value=None, unit="%", level="video", variant=variant, count=len(labels), note=note)
    if labels.ndim == 2:
        precisions = mean_average_precision(fits, labels, samples=samples, seed=seed)
        return [_from_draws(replace(template, name="map"), precisions)]
    ks = (1, 5) if fits.shape[2] > 5 else (1,)
    credits = np.stack([mean_credits(fits, labels, k) for k in ks], axis=1)
    figures = mean_figures([replace(template, name=f"top{k}") for k in ks], credits, samples=samples, seed=seed)
    classes = mean_class_accuracy(credits[:, 0], labels, samples=samples, seed=seed)
    return [*figures, _from_draws(replace(template, name="mean_class_accuracy"), classes)]


def mean_credits(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Top-k credit of each video, the mean over fits: float64 ``(n,)``, of scores ``(S, n, K)``, labels ``(n,)``."""
    truth = torch.from_numpy(labels)
    return np.mean([top_k_credit(torch.from_numpy(fit), truth, k).numpy() for fit in scores], axis=0)


def mean_class_accuracy(credits: np.ndarray, labels: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """The mean over classes of their accuracy, float64 ``(1 + B,)``: of the videos, and of B resamples of them.

    A class that a resample has no video of is left out of its mean.

    Args:
        credits: of each video ``(n,)``, in [0, 1].
        labels: int64 ``(n,)``.
        samples, seed: B, and the seed of the resamples.
    """
    classes = labels[:, None] == np.unique(labels)
    columns = np.concatenate([credits[:, None] * classes, classes], axis=1).astype(np.float64)
    sums = np.concatenate([counts @ columns for counts in _resampled_counts(len(labels), samples, seed)])
    right, videos = np.split(sums, 2, axis=1)
    with np.errstate(invalid="ignore"):
        return np.nanmean(right / videos, axis=1)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """The mean over classes of average precision, float64 ``(1 + B,)``: of the videos, and of B resamples of them.

    Average precision is scikit-learn's: the mean of the precision at each positive video, where videos of equal score
    come together. A class without a positive video is left out.

    Args:
        scores: of S fits ``(S, n, K)``; the mean over fits.
        labels: bool ``(n, K)``.
        samples, seed: B, and the seed of the resamples.
    """
    means = []
    for counts in _resampled_counts(len(labels), samples, seed):
        found = [
            _average_precision(fit[:, number], labels[:, number], counts)
            for fit in scores
            for number in np.flatnonzero(labels.any(axis=0))
        ]
        means.append(np.nanmean(found, axis=0))
    return np.concatenate(means)


def _average_precision(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average precision in each resample ``(b,)``, of how often each video is drawn ``(b, n)``; NaN: of no positive."""
    order = np.argsort(-scores, kind="stable")
    ordered, drawn = scores[order], counts[:, order]
    # Where the videos of the same score end.
    ends = np.searchsorted(-ordered, -ordered, side="right") - 1
    true = drawn * positive[order]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (true.cumsum(axis=1) / drawn.cumsum(axis=1))[:, ends]
        return np.where(true > 0, true * precision, 0).sum(axis=1) / true.sum(axis=1)


def _resampled_counts(videos: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each video is drawn, float64 ``(b, n)``, some at a time: first each once, then in B resamples."""
    yield np.ones((1, videos))
    yield from resampled_counts(np.random.default_rng(seed), videos, samples)


def _from_draws(template: Figure, draws: np.ndarray) -> Figure:
    """A figure in per cent of a statistic of all videos and of resamples, ``(1 + B,)``."""
    low, high = percentile_interval(draws[1:]) if template.count > 1 else (np.nan, np.nan)
    interval = None if template.count < 2 else (100 * low, 100 * high)
    return replace(template, value=100 * float(draws[0]), interval=interval)
