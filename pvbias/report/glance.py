"""Measures at a glance: several runs on every headline measure, and how the measures correlate over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from math import factorial
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from ..evaluation.statistics import holm
from ..registries import REPORT_SECTION
from . import plots, words
from .comparability import unlike
from .figures import Measured, headline_figures
from .results import RunResults
from .section import Section
from .tables import cell

#: Orders that are all tried, and how many are drawn where there are more.
_MOST_ORDERS, _DRAWN = factorial(7), 20_000
_ERROR = 0.05


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two measures over models.

    Attributes:
        first, second: the measures.
        models: that have both.
        value: in [-1, 1].
        p: two-sided p-value of the permutation test, over all orders of up to 7 models, else over 20,000 random ones.
        p_adjusted: after Holm's correction for all pairs.
    """

    first: str
    second: str
    models: int
    value: float
    p: float
    p_adjusted: float = 1.0

    @property
    def certain(self) -> bool:
        """The correlation differs from none by more than chance: an adjusted p-value below 0.05."""
        return self.p_adjusted < _ERROR


@dataclass
class Glance:
    """Content of the section.

    ``measures``: (title, direction, text of each run); ``plot``: where runs lie between the lowest and the highest of
    each measure; ``correlations``: of pairs of measures, the surest first; ``said``: how sure they are, in words.
    """

    measures: list[tuple[str, str, list[str]]]
    plot: str
    correlations: list[RankCorrelation]
    said: str


def rank_correlations(values: dict[str, Sequence[float | None]]) -> list[RankCorrelation]:
    """Spearman's rank correlation of each pair of measures over models, the surest first; those with fewer than three
    models, or with a measure that is the same in all of them, are left out.

    Args:
        values: of each measure, one a model; None where it has none.
    """
    found = []
    for (first, a), (second, b) in combinations(values.items(), 2):
        both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
        if len(both) < 3:
            continue
        x, y = (_standardised(rankdata(column)) for column in zip(*both, strict=True))
        if x is None or y is None:
            continue
        value = float(x @ y)
        # Of as many orders a share is as far from 0; rounding does not decide.
        p = float((np.abs(x[_orders(len(x))] @ y) >= abs(value) - 1e-9).mean())
        found.append(RankCorrelation(first, second, len(x), min(max(value, -1.0), 1.0), p))
    found.sort(key=lambda each: (each.p, -abs(each.value)))
    adjusted = holm([each.p for each in found])
    return [replace(each, p_adjusted=float(p)) for each, p in zip(found, adjusted, strict=True)]


def _standardised(ranks: np.ndarray) -> np.ndarray | None:
    centred = ranks - ranks.mean()
    norm = float(np.linalg.norm(centred))
    return centred / norm if norm else None


def _orders(models: int) -> np.ndarray:
    if factorial(models) <= _MOST_ORDERS:
        return np.array(list(permutations(range(models))))
    generator = np.random.default_rng(0)
    drawn = generator.permuted(np.tile(np.arange(models), (_DRAWN, 1)), axis=1)
    return np.concatenate([np.arange(models)[None], drawn])  # the order that was measured is one of them


def _glance(runs: Sequence[RunResults]) -> Glance | None:
    if len(runs) < 2:
        return None
    of_runs = [headline_figures(run) for run in runs]
    titles = list(dict.fromkeys(title for figures in of_runs for title in figures))
    rows = {title: [figures.get(title) for figures in of_runs] for title in titles}
    rows = {title: row for title, row in rows.items() if sum(_value(own) is not None for own in row) > 1}
    if not rows:
        return None
    correlations = rank_correlations({title: [_value(own) for own in row] for title, row in rows.items()})
    measures = []
    for title, row in rows.items():
        own = next(own for own in row if own is not None)
        measures.append((title, own.metric.direction(own.figure.variant), [cell(each).value for each in row]))
    said = _in_words(correlations, len(runs))
    if correlations and (reasons := unlike(runs)):
        said += f" The runs were not measured alike, which alone makes measures differ: {'; '.join(reasons)}."
    return Glance(measures, _plot(rows, runs), correlations, said)


def _value(own: Measured | None) -> float | None:
    return None if own is None else own.figure.value


def _in_words(correlations: Sequence[RankCorrelation], models: int) -> str:
    if models < 3:
        return "How measures go together over models can be told from three models on."
    if not correlations:
        return "No two measures have values of three models."
    least = 2 / factorial(models)
    surely = sum(each.certain for each in correlations)
    said = (
        f"Spearman's rank correlation over {words.counted(models, 'model')}, with the p-value of its permutation test "
        f"and Holm's correction for {words.counted(len(correlations), 'pair')}. "
    )
    if least * len(correlations) >= _ERROR:
        return said + (
            f"With {models} models the smallest p-value that there can be is {least:.2g}, by itself: none of these can "
            "be told from chance. Read them as a description of these models."
        )
    return said + f"{surely} of them can be told from none; models of one family do not count as independent ones."


def _plot(rows: dict[str, list[Measured | None]], runs: Sequence[RunResults]) -> str:
    """Each run's place between the lowest and the highest value of each measure, with its interval."""
    with plots.drawing(0.5 + 0.34 * len(rows), "glance", "Dot plot: each run on each measure") as (canvas, result):
        axes = canvas.add_subplot()
        for place, row in enumerate(rows.values()):
            known = [own.figure for own in row if own is not None and own.figure.value is not None]
            values = [figure.value for figure in known if figure.value is not None]
            low, reach = min(values), (max(values) - min(values)) or 1.0
            axes.axhline(place, color="#e3e8ed", linewidth=0.8, zorder=1)
            for column, own in enumerate(row):
                if own is None or own.figure.value is None:
                    continue
                color = plots.COLORS[column % len(plots.COLORS)]
                y = place + 0.12 * (column - (len(runs) - 1) / 2)
                if own.figure.interval and np.isfinite(own.figure.interval).all():
                    ends = [min(max((end - low) / reach, -0.25), 1.25) for end in own.figure.interval]
                    axes.plot(ends, [y, y], color=color, linewidth=1.1, alpha=0.6, zorder=2)
                axes.plot(
                    (own.figure.value - low) / reach,
                    y,
                    plots.MARKERS[column % len(plots.MARKERS)],
                    color=color,
                    markersize=6,
                    markeredgewidth=0,
                    zorder=3,
                )
        axes.set_yticks(range(len(rows)), [plots.short(title, 34) for title in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.27, 1.27)
        axes.set_xticks([0, 1], ["lowest", "highest"])
        axes.tick_params(axis="y", length=0)
    return result[0]


REPORT_SECTION.register(
    Section(
        title="Measures at a glance",
        build=_glance,
        place=60,
        template=Path(__file__).with_name("templates") / "glance.html",
    ),
    name="glance",
)
