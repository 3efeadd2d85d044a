"""Which classes gain or lose accuracy, told from noise."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from pvbias.evaluation.statistics import holm, paired_difference

#: Probability of naming any class at all where none gains or loses.
_ERROR = 0.05


def sign_test(differences: np.ndarray) -> float:
    """The two-sided p-value of the exact sign test (McNemar's, where differences are -1, 0 or 1) that as many videos
    gain as lose."""
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return min(1.0, 2 * float(binom.cdf(min(gained, lost), gained + lost, 0.5)))


def class_changes(
    labels: np.ndarray, original: np.ndarray, changed: dict[str, np.ndarray], *, samples: int, seed: int
) -> list[dict[str, object]]:
    """Changes of accuracy, a row for each class and kind of clips, the largest loss first.

    ``named`` is True where the exact sign test over the class's videos says that it gains or loses, after Holm's
    correction for all rows: where nothing changes, any is named with a probability of 5 % at most. The interval of
    the change is of one class by itself.

    Args:
        labels: ``(n,)``.
        original: credits at video level, in [0, 1], ``(n,)``.
        changed: those on modulated clips, by spec.
        samples, seed: of the statistics.
    """
    rows: list[dict[str, object]] = []
    p_values = []
    for variant, credits in changed.items():
        for label in np.unique(labels).tolist():
            own = labels == label
            change = paired_difference(original[own], credits[own], proportion=True, samples=samples, seed=seed)
            low, high = change.interval or (None, None)
            p_values.append(sign_test(credits[own] - original[own]))
            rows.append(
                {
                    "class": label,
                    "variant": variant,
                    "videos": change.count,
                    "top1_original": 100 * float(original[own].mean()),
                    "top1": 100 * float(credits[own].mean()),
                    "change": 100 * change.value,
                    "change_low": None if low is None else 100 * low,
                    "change_high": None if high is None else 100 * high,
                }
            )
    for row, p in zip(rows, holm(p_values), strict=True):
        row |= {"p_adjusted": float(p), "named": bool(p < _ERROR)}
    return sorted(rows, key=lambda row: (row["change"], row["class"]))  # type: ignore[arg-type, return-value]
