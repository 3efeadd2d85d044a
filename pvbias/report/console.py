"""The headline figures as text, for the console."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from . import words
from .differences import difference
from .results import RunResults
from .sections import headline_figures
from .tables import cell


def headline_table(runs: Sequence[RunResults]) -> str:
    """A row for each headline figure, with its interval: a column for each run, and for two runs their difference."""
    figures = [dict(headline_figures(run)) for run in runs]
    rows = []
    for what in dict.fromkeys(name for own in figures for name in own):
        found = [own.get(what) for own in figures]
        unit = next(figure.unit for figure in found if figure is not None)
        row = [what if unit == "log ratio" else f"{what}, {unit}"]
        for figure in found:
            shown = cell(figure)
            row.append(f"{shown.value} {shown.interval}".rstrip())
        if len(runs) == 2:
            row.append(_difference(runs, what))
        rows.append(row)
    if not rows:
        return "No headline figures were measured."
    names = [run.name for run in runs] if len(runs) > 1 else ["value [95 % interval]"]
    heads = ["", *names] + (["difference"] if len(runs) == 2 else [])
    return tabulate(rows, headers=heads, disable_numparse=True)


def _difference(runs: Sequence[RunResults], what: str) -> str:
    first, second = (dict(headline_figures(run)).get(what) for run in runs)
    if first is None or second is None or (first.level, first.variant) != (second.level, second.variant):
        return ""
    indices = [
        {(f.name, f.level, f.variant): f for result in run.results.values() for f in result.figures} for run in runs
    ]
    change = difference(runs[0], indices[0], runs[1], indices[1], (first.name, first.level, first.variant))
    if change is None:
        return ""
    interval = words.interval(change.interval, change.unit, signed=True)
    return f"{words.number(change.value, change.unit, signed=True)} {interval}".rstrip()
