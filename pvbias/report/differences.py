"""Differences between two runs in a figure, with the interval of the paired difference on the same videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ..evaluation.results import Figure
from ..evaluation.statistics import paired_difference
from .figures import Index, Key
from .results import RunResults

#: Resamples for the intervals: BIAS.BOOTSTRAP_SAMPLES's default.
_SAMPLES = 2000


@dataclass(frozen=True)
class Change:
    """The difference of a run to another.

    Attributes:
        value: the difference, in the figures' unit.
        unit: of the value; points for per cent.
        interval: 95 % over videos, of the differences video by video; None where the runs have not measured the same
            videos, or have not kept what they say of each.
    """

    value: float
    unit: str
    interval: tuple[float, float] | None = None


def difference(first: RunResults, first_figures: Index, run: RunResults, figures: Index, key: Key) -> Change | None:
    """The difference of ``run`` to ``first``; None where a figure of either is missing or undefined.

    Args:
        first_figures, figures: the figure of this key, and those that it is derived from.
    """
    before, after = _figure(first_figures, key), _figure(figures, key)
    if before is None or after is None or before.value is None or after.value is None:
        return None
    value, unit = after.value - before.value, "points" if after.unit == "%" else after.unit
    derived = figures[key].metric.derived
    _, level, variant = key
    keys = [key] if derived is None else [(name, level, part) for name, part in derived.parts(variant)]
    values = _paired(first, run, [_figure(own, each) for own in (first_figures, figures) for each in keys])
    if values is None:
        return Change(value, unit)
    if derived is not None:
        return Change(value, unit, derived.interval(*values, samples=_SAMPLES, seed=first.seed))
    found = paired_difference(*values, proportion=after.unit == "%", samples=_SAMPLES, seed=first.seed)
    scale = 100.0 if after.unit == "%" else 1.0
    return Change(value, unit, found.interval and (scale * found.interval[0], scale * found.interval[1]))


def _figure(figures: Index, key: Key) -> Figure | None:
    return figures[key].figure if key in figures else None


def _paired(first: RunResults, run: RunResults, figures: Sequence[Figure | None]) -> np.ndarray | None:
    """The values of figures video by video ``(m, n)``, the first half of one run and the second of another; None where
    the runs have not evaluated the same videos with the same labels, or have not kept values of each video."""
    values = [figure.values for figure in figures if figure is not None and figure.values is not None]
    places = _places(first, run)
    if len(values) < len(figures) or places is None:
        return None
    half = len(values) // 2
    rows = np.stack(values[:half] + [each[places] for each in values[half:]])
    valued = ~np.isnan(rows)
    if not (valued == valued[0]).all():
        return None
    return rows[:, valued[0]]


def _places(first: RunResults, run: RunResults) -> list[int] | None:
    """The second run's index of each video of the first one; None where they are not the same, or labelled
    otherwise."""
    if first.data_fingerprint != run.data_fingerprint or labels_differ([first, run]):
        return None
    for name in (str, _file_name):
        places = {name(key): place for place, key in enumerate(run.videos)}
        wanted = [name(key) for key in first.videos]
        if len(places) == len(run.videos) == len(set(wanted)) and places.keys() == set(wanted):
            return [places[key] for key in wanted]
    return None


def _file_name(key: str) -> str:
    """The file name of a path: lists in different folders call the same videos by different paths."""
    path, *part = key.split("\t")
    return "\t".join((PurePath(path).name, *part))


def labels_differ(runs: Sequence[RunResults]) -> bool:
    """Whether runs on the same videos have different labels for them, by number and by class name; not where an older
    run does not say."""
    known = [run.label_fingerprints for run in runs]
    if not all(known):
        return False
    return not any(len({prints[place] for prints in known}) == 1 and known[0][place] for place in (0, 1))
