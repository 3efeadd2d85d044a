"""The headline figures as text, for the console."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from ..plugin_loading import load_plugins
from . import words
from .differences import difference
from .figures import Measured, headline_figures, metric_index, ordered
from .results import RunResults
from .tables import cell


def headline_table(runs: Sequence[RunResults]) -> str:
    """A row for each headline figure, with its interval: a column for each run, and for two runs their difference.

    The headlines are those of the registered metrics: of installed plugins, and of what else has been imported.
    """
    load_plugins()
    figures = [headline_figures(run) for run in runs]
    rows = []
    for title in ordered(title for own in figures for title in own):
        found = [own.get(title) for own in figures]
        unit = next(own.figure.unit for own in found if own is not None)
        row = [title if unit in words.UNWRITTEN else f"{title}, {unit}"]
        for own in found:
            shown = cell(own)
            row.append(f"{shown.value} {shown.interval}".rstrip())
        if len(runs) == 2:
            row.append(_difference(runs, found))
        rows.append(row)
    if not rows:
        return "No headline figures were measured."
    names = [run.name for run in runs] if len(runs) > 1 else ["value [95 % interval]"]
    heads = ["", *names] + (["difference"] if len(runs) == 2 else [])
    return tabulate(rows, headers=heads, disable_numparse=True)


def _difference(runs: Sequence[RunResults], figures: Sequence[Measured | None]) -> str:
    first, second = figures
    if first is None or second is None or first.key != second.key or first.metric is not second.metric:
        return ""
    indices = [metric_index(run, first.metric) for run in runs]
    change = difference(runs[0], indices[0], runs[1], indices[1], first.key)
    if change is None:
        return ""
    interval = words.interval(change.interval, change.unit, signed=True)
    return f"{words.number(change.value, change.unit, signed=True)} {interval}".rstrip()
