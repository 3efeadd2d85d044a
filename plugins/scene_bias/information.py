"""Mutual information of two discrete variables, its small-sample bias removed, with a permutation null."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import random_table

#: Standard errors from the middle of a normal distribution to the ends of its 95 %.
_Z = NormalDist().inv_cdf(0.975)

#: Samples a cell of the table below which the correction is rough (see :class:`Information`).
_FEW = 5

#: Entries of the permuted tables that are in memory at a time.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Information:
    """Mutual information of two variables, in nats, estimated from n samples.

    The plug-in estimate, that of the sample's own frequencies, is too high: of independent variables with a and b
    values by (a - 1)(b - 1) / 2n. ``value`` is its jackknife, ``n I - (n - 1) mean(I without one sample)``, which takes
    away what falls with 1 / n, whatever the variables' dependence is. In simulations with 10 x 10 values it was off by
    less than 0.003 nats from 1,000 samples, by 0.07 from 200 and by 0.13 from 100; Miller and Madow's correction, which
    counts the pairs that occur, was by 0.11 and 0.27 from 200 and 100, and the mean of permuted samples taken away is
    wrong wherever the variables are dependent.

    Of fewer samples than there are pairs of values the jackknife fails (independent variables, 40 x 40 values, 400
    samples: 0.70 nats). ``value`` is there the plug-in estimate adjusted for chance, ``H (I - E) / (H - E)`` with E its
    mean over permuted samples and H the smaller entropy (as Vinh, Epps and Bailey, *Information Theoretic Measures for
    Clusterings Comparison*, JMLR 2010, have it as a share): 0 for what chance gives, H where one variable tells the
    other. In simulations with 10 x 10 and 40 x 40 values, 0.25 to 0.5 samples a pair, it was off by up to 0.15 nats.

    Attributes:
        value: not cut at 0, which independent variables' estimates lie around.
        interval: 95 %, around the value and cut to what is possible: normal, of the jackknife's variance and that of
            permuted samples, which is all there is where the variables are independent. In the same simulations it held
            the truth in 93 to 100 % of 1,000 samples. Of fewer than five samples a pair no correction is trusted: it
            reaches from around ``I - E``, which takes away too much, to around the jackknife, which takes too little.
        plug_in: the plug-in estimate.
        null: the mean of the plug-in estimate over permuted samples: what chance alone gives.
        null_end: what 95 % of the permuted samples stay below.
        p_value: the share of permuted samples, this one among them, whose estimate is as high: at most so often would
            independent variables give such a sample.
        entropies: of the two variables, plug-in.
        most: what ``value`` would be if the first variable told all of the second one: the second one's entropy,
            corrected in the same way.
        shape: how many values of each occur.
        samples: n.
    """

    value: float
    interval: tuple[float, float] | None
    plug_in: float
    null: float
    null_end: float
    p_value: float
    entropies: tuple[float, float]
    most: float
    shape: tuple[int, int]
    samples: int

    @property
    def note(self) -> str:
        """A warning of a rough correction; empty where it is good, and where there is nothing to tell."""
        if min(self.shape) == 1 or self.samples >= _FEW * self.shape[0] * self.shape[1]:
            return ""
        return (
            f"{self.samples} videos for {self.shape[0]} x {self.shape[1]} pairs, fewer than {_FEW} a pair: of "
            f"{self.plug_in:.3g} nats chance alone gives {self.null:.3g}, and the correction for it is rough"
        )


def mutual_information(first: np.ndarray, second: np.ndarray, *, permutations: int, seed: int) -> Information:
    """The mutual information of two variables from paired samples.

    Args:
        first, second: values of each sample, int64 ``(n,)``, n >= 1.
        permutations: random ones that the null is made of; tables with the same margins, drawn as permuting one of the
            variables would.
        seed: of them.

    Raises:
        ValueError: there are not as many samples of both, or none.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"Samples are pairs: two rows of one length, not {first.shape} and {second.shape}.")
    (rows, of_rows), (columns, of_columns) = (np.unique(each, return_inverse=True) for each in (first, second))
    table = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(table, (of_rows, of_columns), 1)
    n = len(first)
    plug_in, by_row, by_column = plug_in_information(table), table.sum(1), table.sum(0)
    entropies = (_entropy(by_row), _entropy(by_column))
    null = _permuted(by_row, by_column, permutations, seed)
    by_chance = float(null.mean())
    jackknifed, variance = _jackknife(table, plug_in)
    value, most = jackknifed, _jackknife(np.diag(by_column), entropies[1])[0]
    if n < table.size:
        value, most = _adjusted(plug_in, by_chance, min(entropies)), entropies[1]
    low, high = value, value
    if n < _FEW * table.size:
        low, high = min(value, plug_in - by_chance), max(value, jackknifed)
    half = _Z * math.sqrt(variance + float(null.var()))
    possible = min(math.log(len(rows)), math.log(len(columns)))
    ends = max(low - half, min(value, 0.0)), max(min(high + half, max(value, possible)), 0.0)
    return Information(
        value=value,
        interval=None if n < 2 else ends,
        plug_in=plug_in,
        null=by_chance,
        null_end=float(np.quantile(null, 0.95, method="higher")),
        p_value=float((1 + (null >= plug_in - 1e-12).sum()) / (1 + permutations)),
        entropies=entropies,
        most=most,
        shape=(len(rows), len(columns)),
        samples=n,
    )


def plug_in_information(table: np.ndarray) -> float:
    """The mutual information, nats, of frequencies in a table of counts, int64 ``(a, b)``."""
    n = table.sum()
    total = _c_log_c(table).sum() - _c_log_c(table.sum(1)).sum() - _c_log_c(table.sum(0)).sum()
    return max(float(total / n + np.log(n)), 0.0)


def _jackknife(table: np.ndarray, plug_in: float) -> tuple[float, float]:
    """The jackknife's estimate and its variance.

    Without a sample of the cell (i, j) three counts are smaller by one: those of the cell, its row and its column.
    """
    n = int(table.sum())
    if n < 2:
        return plug_in, 0.0
    i, j = np.nonzero(table)
    less = _change(table[i, j]) - _change(table.sum(1)[i]) - _change(table.sum(0)[j])
    left_out = (n * (plug_in - np.log(n)) - less) / (n - 1) + np.log(n - 1)
    weight = table[i, j]
    mean = float((left_out * weight).sum() / n)
    variance = (n - 1) / n * float(((left_out - mean) ** 2 * weight).sum())
    return n * plug_in - (n - 1) * mean, variance


def _adjusted(plug_in: float, by_chance: float, entropy: float) -> float:
    """The plug-in estimate adjusted for chance; 0 where chance alone gives all that there may be."""
    room = entropy - by_chance
    return entropy * (plug_in - by_chance) / room if room > 1e-9 else 0.0


def _permuted(by_row: np.ndarray, by_column: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Plug-in estimates of random tables with the same margins, float64 ``(permutations,)``."""
    if min(len(by_row), len(by_column)) == 1:  # there is one such table; scipy 1.17 draws others, of negative counts
        return np.zeros(permutations)
    tables, generator = random_table(by_row, by_column), np.random.default_rng(seed)
    margins = np.log(by_row.sum()) - (_c_log_c(by_row).sum() + _c_log_c(by_column).sum()) / by_row.sum()
    found = np.empty(permutations)
    step = max(_AT_ONCE // (len(by_row) * len(by_column)), 1)
    for start in range(0, permutations, step):
        drawn = tables.rvs(size=min(step, permutations - start), random_state=generator)
        found[start : start + step] = margins + _c_log_c(drawn).sum((1, 2)) / by_row.sum()
    return found


def _entropy(counts: np.ndarray) -> float:
    return float(np.log(counts.sum()) - _c_log_c(counts).sum() / counts.sum())


def _c_log_c(counts: np.ndarray) -> np.ndarray:
    """``c ln c`` of counts, 0 of none."""
    return counts * np.log(np.maximum(counts, 1))


def _change(counts: np.ndarray) -> np.ndarray:
    """``c ln c`` less that of one fewer."""
    return _c_log_c(counts) - _c_log_c(counts - 1)
