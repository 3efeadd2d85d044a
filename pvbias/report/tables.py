"""Tables of figures as text, with runs, or levels, side by side."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..clips import ORIGINAL
from . import words
from .differences import difference
from .figures import LEVELS, Index, Key, Measured, ordered
from .metric import Metric
from .results import RunResults


@dataclass
class Cell:
    """A figure in a table; ``change`` is the difference to the first run, ``change_interval`` its interval."""

    value: str = "–"
    interval: str = ""
    change: str = ""
    change_interval: str = ""
    note: str = ""


@dataclass
class Row:
    """Figures side by side, one cell a column; ``direction``: where there are several runs, whether "higher" or "lower"
    is better, or empty."""

    title: str
    cells: list[Cell]
    direction: str = ""


@dataclass
class Block:
    """Figures of one name and unit: one row a variant."""

    title: str
    unit: str
    rows: list[Row]


@dataclass
class FigureTable:
    """Figures of one run, a column for each level, or of several, a column for each run.

    ``columns``: (title, the run's colour).
    """

    columns: list[tuple[str, int | None]]
    blocks: list[Block]


@dataclass(frozen=True)
class Picture:
    """A table's cell that is an image: a data URI, and what it is."""

    uri: str
    alt: str


@dataclass
class Table:
    """A table of an evaluator."""

    title: str
    columns: list[str]
    rows: list[list[str | Picture]]


def figure_table(runs: Sequence[RunResults], indices: Sequence[Index]) -> FigureTable:
    """All figures that are in the runs' indices (:func:`pvbias.report.figures.section_indices`)."""
    indices = without_repeated_clips(indices)
    keys = ordered(key for index in indices for key in index)
    names = ordered(name for name, _, _ in keys)
    metrics = {own.figure.name: own.metric for index in reversed(indices) for own in reversed(index.values())}
    levels = sorted({level for _, level, _ in keys}, key=lambda level: (level_rank(level), level))
    found = FigureTable([], [])
    if len(runs) == 1:
        found.columns = [(level_words(level), None) for level in levels]
        groups = [(metrics[name].title, name, levels) for name in names]
    else:
        found.columns = [(run.name, column) for column, run in enumerate(runs)]
        pairs = sorted(ordered((name, level) for name, level, _ in keys), key=lambda pair: level_rank(pair[1]))
        groups = [(f"{metrics[name].title}, {level_words(level)}", name, [level]) for name, level in pairs]
    whole = set(names) - {name for name, level, variant in keys if (level, variant) != ("model", ORIGINAL)}
    if whole:
        found.blocks.append(_whole_model([name for name in names if name in whole], metrics, runs, indices))
    for title, name, group_levels in groups:
        if name in whole:
            continue
        variants = ordered(variant for key_name, level, variant in keys if key_name == name and level in group_levels)
        rows: list[Row] = []
        unit = ""
        for variant in variants:
            places = [(name, level, variant) for level in group_levels]
            figures = [index.get(key) for index in indices for key in places]
            own = next(figure for figure in figures if figure)
            unit = own.figure.unit
            cells = [cell(figure) for figure in figures]
            if len(runs) > 1:
                _add_changes(cells, places[0], runs, indices)
            direction = own.metric.direction(variant) if len(runs) > 1 else ""
            rows.append(Row(own.metric.variant_words(variant), cells, direction))
        found.blocks.append(Block(title, unit, rows))
    return found


def _whole_model(
    names: Sequence[str], metrics: Mapping[str, Metric], runs: Sequence[RunResults], indices: Sequence[Index]
) -> Block:
    """Figures of the whole model, a row each instead of a block each."""
    rows = []
    for name in names:
        key = (name, "model", ORIGINAL)
        figures = [index.get(key) for index in indices]
        unit = next(own.figure.unit for own in figures if own)
        cells = [cell(own) for own in figures]
        _add_changes(cells, key, runs, indices)
        metric = metrics[name]
        title = f"{metric.title}, %" if unit == "%" else metric.title
        rows.append(Row(title, cells, metric.direction(ORIGINAL) if len(runs) > 1 else ""))
    return Block("Whole model", "", rows)


def _add_changes(cells: Sequence[Cell], key: Key, runs: Sequence[RunResults], indices: Sequence[Index]) -> None:
    """Add the difference to the first run's figure to the cells of all others."""
    for shown, run, own in list(zip(cells, runs, indices, strict=True))[1:]:
        change = difference(runs[0], indices[0], run, own, key)
        if change is not None:
            shown.change = words.number(change.value, change.unit, signed=True)
            shown.change_interval = words.interval(change.interval, change.unit, signed=True)


def cell(own: Measured | None) -> Cell:
    """Format a figure."""
    if own is None:
        return Cell()
    figure = own.figure
    if figure.value is None:
        return Cell("undefined", note=figure.note)
    value, interval = shown(own), words.interval(figure.interval, figure.unit)
    return Cell(value, "" if (value, interval) == ("none", "[0, 0]") else interval, note=figure.note)


def shown(own: Measured) -> str:
    """Format a figure's value: "none" where it is nearer to 0 than its metric's resolution."""
    value = own.figure.value
    if value is not None and abs(value) < own.metric.resolution:
        return "none"
    return words.number(value, own.figure.unit)


def title_for(title: str, run: RunResults, runs: Sequence[RunResults]) -> str:
    """A table's title, with the name of its run where there are several."""
    return title if len(runs) == 1 else f"{title}: {run.name}"


def text_table(title: str, rows: Sequence[dict[str, Any]], images: Mapping[str, bytes] | None = None) -> Table:
    """An evaluator's table (with at least one row) as text: dashes for None, four significant digits, and pictures for
    names of ``images``, JPEG or PNG files."""
    columns = list(rows[0])
    heads = [column.replace("_", " ") for column in columns]
    pictures = {name: uri for name, content in (images or {}).items() if (uri := image_uri(content))}

    def shown(head: str, value: Any) -> str | Picture:
        return Picture(pictures[value], head) if isinstance(value, str) and value in pictures else _text(value)

    cells = [[shown(head, row.get(column)) for head, column in zip(heads, columns, strict=True)] for row in rows]
    return Table(title, heads, cells)


def image_uri(content: bytes) -> str:
    """A JPEG or PNG file as a data URI; empty for anything else."""
    for magic, kind in ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png")):
        if content.startswith(magic):
            return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return ""


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def without_repeated_clips(indices: Sequence[Index]) -> list[Index]:
    """Without clip level where it says in no figure of any run anything else than video level does: where a video is
    seen as one clip."""
    clip_level = [(index, key) for index in indices for key in index if key[1] == "clip"]
    if not all(_same(index[key], index.get((key[0], "video", key[2]))) for index, key in clip_level):
        return list(indices)
    return [{key: own for key, own in index.items() if key[1] != "clip"} for index in indices]


def _same(clip: Measured, video: Measured | None) -> bool:
    # As text: the two are computed in different orders, and differ in their last digits.
    return video is not None and cell(clip) == cell(video)


def level_rank(level: str) -> int:
    """The place of a level in LEVELS; unknown ones last."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def level_words(level: str) -> str:
    """A figure's level in words."""
    return {"video": "video level", "clip": "clip level", "model": "whole model"}.get(level, level)
