"""Breakdown of figures by attribute: over the videos of each scene, domain or factor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from ..data.attributes import Attribute
from ..evaluation.results import Figure, Result
from ..evaluation.statistics import mean_figures
from ..registries import REPORT_SECTION
from ..video.frame_folder import natural_order
from . import words
from .figures import Key, Measured, headline_figures, result_of
from .per_video import spread
from .results import RunResults
from .section import Section
from .tables import Block, Cell, FigureTable, Row, cell, level_words

#: Under which the tables are among a run's results.
BREAKDOWN = "breakdown"

#: Numbers, if there are more different ones, are put into bins, and texts beyond are counted together.
_MOST_NUMBERS, _MOST_TEXTS = 12, 20
#: Bins of about as many videos each.
_BINS = 4
#: Whole numbers from which on powers of ten are easier to read.
_LONG = 1e15
#: Videos from which on an interval says what it should.
_ENOUGH = 10


@dataclass(frozen=True)
class Group:
    """Videos with one value of an attribute.

    Attributes:
        name: what they have in common.
        members: their places, int64 ``(m,)``.
    """

    name: str
    members: np.ndarray


def break_down(
    results: Mapping[str, Result],
    attributes: Mapping[str, Sequence[Attribute | None]],
    labelled: Sequence[bool],
    *,
    samples: int,
    seed: int,
) -> Result:
    """Compute the figures of a run over the videos of one group at a time.

    Of all figures that are means over videos, and of those that follow from such
    (:class:`pvbias.report.metric.Derived`); with intervals of the same kind as the figures' own, over the videos of the
    group. The groups of an attribute are all videos, each once: the mean over groups, weighted by their videos, is the
    mean over all.

    Args:
        results: by evaluator.
        attributes: by name, what each of the n videos has; None: it has none.
        labelled: which of the videos have a label; empty: the videos are not known.
        samples, seed: of the bootstrap; see :mod:`pvbias.evaluation.statistics`.

    Returns:
        A table for each attribute, a row for each figure and group (:func:`groups`): ``group``, ``videos`` (that the
        figure is over), ``evaluator``, ``figure``, ``level``, ``variant``, ``value``, ``unit``, ``low`` and ``high``
        (the interval's ends), ``note``.
    """
    if not len(labelled):
        return Result(not_applicable="It is not known which videos were measured.")
    flags = np.asarray(labelled, dtype=bool)
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, values in attributes.items():
        found = groups(values)
        tables[name] = []
        for evaluator, result in results.items():
            figures = [Measured(evaluator, figure) for figure in result.figures]
            columns = {own.key: spread(own.figure.values, flags) for own in figures}
            by_group = [dict(_over(group, figures, columns, samples=samples, seed=seed)) for group in found]
            tables[name] += [
                _row(group, Measured(evaluator, of_group[own.key]))
                for own in figures
                for group, of_group in zip(found, by_group, strict=True)
                if own.key in of_group
            ]
    return Result(tables=tables)


def groups(values: Sequence[Attribute | None]) -> list[Group]:
    """Group videos by the value of an attribute.

    - Of numbers, where there are more than 12 different ones, four bins of about as many videos each; equal numbers are
      in the same. A bin is called by the smallest and the largest number in it.
    - Else one group for each value, in order; of more than 20 different texts the 20 with the most videos, and "other"
      for the rest.
    - "(none)" for the videos that lack the attribute.
    """
    known = [place for place, value in enumerate(values) if value is not None]
    absent = [place for place, value in enumerate(values) if value is None]
    numbers = all(isinstance(values[place], (int, float)) and not isinstance(values[place], bool) for place in known)
    if numbers and len({values[place] for place in known}) > _MOST_NUMBERS:
        found = _bins(np.array([values[place] for place in known], np.float64), np.array(known))
    else:
        found = _values([_text(values[place]) for place in known], known, float if numbers else natural_order)
    return [*found, Group(_unlike("(none)", found), np.array(absent))] if absent else found


def _bins(numbers: np.ndarray, places: np.ndarray) -> list[Group]:
    edges = np.quantile(numbers, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    bins = np.searchsorted(edges, numbers, side="left")
    found = []
    for number in np.unique(bins):
        inside = numbers[bins == number]
        low, high = _text(float(inside.min())), _text(float(inside.max()))
        found.append(Group(low if low == high else f"{low} to {high}", places[bins == number]))
    return found


def _values(texts: Sequence[str], places: Sequence[int], order: Callable[[str], Any]) -> list[Group]:
    counts = Counter(texts)
    shown = sorted(sorted(counts, key=lambda text: (-counts[text], text))[:_MOST_TEXTS], key=order)
    members: dict[str, list[int]] = {text: [] for text in shown}
    rest: list[int] = []
    for text, place in zip(texts, places, strict=True):
        members.get(text, rest).append(place)
    found = [Group(text, np.array(inside)) for text, inside in members.items()]
    other = _unlike(f"other ({len(counts) - len(shown)} values)", found)
    return [*found, Group(other, np.array(rest))] if rest else found


def _text(value: Attribute | None) -> str:
    """The text for a value: another one for each different number, the same for equal ones."""
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < _LONG:
        return str(int(value))
    short = f"{value:.6g}"
    return short if float(short) == value else repr(value)


def _unlike(name: str, found: Sequence[Group]) -> str:
    """A name that no value has."""
    while any(group.name == name for group in found):
        name = f"({name})"
    return name


def _over(
    group: Group, figures: Sequence[Measured], columns: Mapping[Key, np.ndarray | None], *, samples: int, seed: int
) -> Iterator[tuple[Key, Figure]]:
    """The figures of an evaluator over the videos of a group, without those that are over no video of it.

    Args:
        columns: what each figure is the mean of, float64 ``(n,)``, NaN where a video has none; None: it is no mean over
            videos.
    """
    means: dict[bytes, list[Measured]] = {}  # those over the same videos have the same resamples
    for own in figures:
        column, derived = columns[own.key], own.metric.derived
        if column is not None:
            means.setdefault(np.isnan(column[group.members]).tobytes(), []).append(own)
        elif derived is not None:
            _, level, variant = own.key
            parts = _inside(group, [columns.get((name, level, part)) for name, part in derived.parts(variant)])
            if parts is not None:
                yield own.key, derived.figure(_bare(own), *parts, samples=samples, seed=seed)
    for alike in means.values():
        values = _inside(group, [columns[own.key] for own in alike])
        if values is not None:
            found = mean_figures([_bare(own) for own in alike], values.T, samples=samples, seed=seed)
            yield from zip((own.key for own in alike), found, strict=True)


def _inside(group: Group, columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Columns ``(m, videos)`` over the videos of a group for which all have a value; None where there is none."""
    known = [column[group.members] for column in columns if column is not None]
    if len(known) < len(columns):
        return None
    inside = np.stack(known)
    inside = inside[:, ~np.isnan(inside).any(axis=0)]
    return inside if inside.size else None


def _bare(own: Measured) -> Figure:
    return replace(own.figure, value=None, interval=None, count=0, note="", values=None)


def _row(group: Group, own: Measured) -> dict[str, Any]:
    figure = own.figure
    few = f"fewer than {_ENOUGH} videos" if figure.count < _ENOUGH else ""
    low, high = figure.interval or (None, None)
    return {
        "group": group.name,
        "videos": figure.count,
        "evaluator": own.evaluator,
        "figure": figure.name,
        "level": figure.level,
        "variant": figure.variant,
        "value": figure.value,
        "unit": figure.unit,
        "low": low,
        "high": high,
        "note": "; ".join(filter(None, (figure.note, few))),
    }


def _measured(row: Mapping[str, Any]) -> Measured:
    """The figure that a row is about."""
    low, high = row["low"], row["high"]
    ends = None if low is None and high is None else (-inf if low is None else low, inf if high is None else high)
    figure = Figure(
        name=row["figure"],
        value=row["value"],
        unit=row["unit"],
        level=row["level"],
        variant=row["variant"],
        interval=ends,
        count=row["videos"],
        note=row["note"],
    )
    return Measured(row["evaluator"], figure)


def _by_attribute(runs: Sequence[RunResults]) -> list[tuple[str, FigureTable]] | None:
    """(run, its headline figures by group, in a block for each attribute) of those that were broken down."""
    found = []
    for run in runs:
        tables = {
            name: [(row["group"], _measured(row)) for row in rows]
            for name, rows in result_of(run, BREAKDOWN).tables.items()
        }
        there = {(own.evaluator, own.key): own for rows in tables.values() for _, own in rows}
        shown = {title: own for title, own in headline_figures(run).items() if (own.evaluator, own.key) in there}
        if not shown:  # nobody has said what is a headline
            shown = {_title(own): own for own in there.values() if own.figure.level != "clip"}
        if shown:
            columns: list[tuple[str, int | None]] = [("videos", None)]
            columns += [(_with_unit(title, own.figure.unit), None) for title, own in shown.items()]
            blocks = [Block(name, "", _rows(rows, [*shown.values()])) for name, rows in tables.items()]
            found.append((run.name, FigureTable(columns, blocks)))
    return found or None


def _rows(rows: Sequence[tuple[str, Measured]], columns: Sequence[Measured]) -> list[Row]:
    by_group: dict[str, dict[tuple[str, Key], Measured]] = {group: {} for group, _ in rows}
    for group, own in rows:
        by_group[group][own.evaluator, own.key] = own
    return [
        Row(
            group,
            [
                Cell(f"{max(each.figure.count for each in of_group.values()):,}"),
                *(cell(of_group.get((column.evaluator, column.key))) for column in columns),
            ],
        )
        for group, of_group in by_group.items()
    ]


def _title(own: Measured) -> str:
    return f"{own.metric.title}, {own.metric.variant_words(own.figure.variant)}, {level_words(own.figure.level)}"


def _with_unit(title: str, unit: str) -> str:
    return title if unit in words.UNWRITTEN else f"{title}, {unit}"


REPORT_SECTION.register(
    Section(
        title="By attribute",
        build=_by_attribute,
        place=450,
        template="breakdown.html",
        evaluators={BREAKDOWN: "figures by attribute"},
    ),
    name=BREAKDOWN,
)
