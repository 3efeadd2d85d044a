"""Figures and tables as text, in rows and columns: what any number of runs, or levels, have side by side."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Figure, Result
from . import words
from .results import RunResults

#: In the order in which readers want them.
LEVELS = ("video", "clip", "model")

#: A figure's name, level and variant.
Key = tuple[str, str, str]


@dataclass
class Cell:
    """A figure as a table shows it; ``change`` is the difference to the first run."""

    value: str = "–"
    interval: str = ""
    change: str = ""
    note: str = ""


@dataclass
class Block:
    """Figures of one name and unit: one row a variant, one cell a column."""

    title: str
    unit: str
    rows: list[tuple[str, list[Cell]]]


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
    """Any table of any evaluator."""

    title: str
    columns: list[str]
    rows: list[list[str | Picture]]


def find(run: RunResults, name: str, variant: str, *, level: str = "") -> Figure | None:
    """The run's figure with a defined value; without ``level``, the video-level one, else the clip-level one."""
    for wanted in [level] if level else LEVELS:
        for figure in all_figures(run):
            if (figure.name, figure.variant, figure.level) == (name, variant, wanted) and figure.value is not None:
                return figure
    return None


def figure_table(runs: Sequence[RunResults], evaluators: Sequence[str]) -> FigureTable:
    """All figures of some evaluators."""
    indices = [figure_index(run, evaluators) for run in runs]
    keys = ordered(key for index in indices for key in index)
    levels = sorted({level for _, level, _ in keys}, key=lambda level: (level_rank(level), level))
    found = FigureTable([], [])
    if len(runs) == 1:
        found.columns = [(level_words(level), None) for level in levels]
        groups = [(words.figure_words(name), name, levels) for name in ordered(name for name, _, _ in keys)]
    else:
        found.columns = [(run.name, column) for column, run in enumerate(runs)]
        pairs = sorted(ordered((name, level) for name, level, _ in keys), key=lambda pair: level_rank(pair[1]))
        groups = [(f"{words.figure_words(name)}, {level_words(level)}", name, [level]) for name, level in pairs]
    whole = {name for name, _, _ in keys} - {
        name for name, level, variant in keys if (level, variant) != ("model", "original")
    }
    if whole:
        found.blocks.append(
            _whole_model([name for name in ordered(name for name, _, _ in keys) if name in whole], indices)
        )
    for title, name, group_levels in groups:
        if name in whole:
            continue
        variants = ordered(variant for key_name, level, variant in keys if key_name == name and level in group_levels)
        rows, unit = [], ""
        for variant in variants:
            figures = [index.get((name, level, variant)) for index in indices for level in group_levels]
            unit = next((figure.unit for figure in figures if figure), unit)
            first = figures[0] if len(runs) > 1 else None
            cells = [cell(figure, first if column else None) for column, figure in enumerate(figures)]
            rows.append((words.variant_words(variant), cells))
        found.blocks.append(Block(title, unit, rows))
    return found


def _whole_model(names: Sequence[str], indices: Sequence[dict[Key, Figure]]) -> Block:
    """Figures that the model has one of, a row each instead of a block each."""
    rows = []
    for name in names:
        figures = [index.get((name, "model", "original")) for index in indices]
        unit = next(figure.unit for figure in figures if figure)
        cells = [cell(figure, figures[0] if column else None) for column, figure in enumerate(figures)]
        rows.append((f"{words.figure_words(name)}, %" if unit == "%" else words.figure_words(name), cells))
    return Block("Whole model", "", rows)


def cell(figure: Figure | None, first: Figure | None) -> Cell:
    """A figure as text, with its change against the first run's where there is one."""
    if figure is None:
        return Cell()
    if figure.value is None:
        return Cell("undefined", note=figure.note)
    cell = Cell(words.number(figure.value, figure.unit), note=figure.note)
    if figure.interval:
        cell.interval = "[" + ", ".join(words.number(end, figure.unit) for end in figure.interval) + "]"
    if first is not None and first.value is not None:
        cell.change = words.number(figure.value - first.value, figure.unit, signed=True)
    return cell


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


def all_figures(run: RunResults) -> Iterator[Figure]:
    """Those of all evaluators."""
    for result in run.results.values():
        yield from result.figures


def result_of(run: RunResults, evaluator: str) -> Result:
    """An evaluator's result; an empty one where the run did not ask for it."""
    return run.results.get(evaluator) or Result()


def figure_index(run: RunResults, evaluators: Sequence[str]) -> dict[Key, Figure]:
    """The figures of some evaluators; of two for the same thing, the first evaluator's."""
    figures: dict[Key, Figure] = {}
    for evaluator in evaluators:
        for figure in result_of(run, evaluator).figures:
            figures.setdefault((figure.name, figure.level, figure.variant), figure)
    return figures


def ordered(items: Iterable[Any]) -> list[Any]:
    """Each item once, in order of first appearance."""
    return list(dict.fromkeys(items))


def level_rank(level: str) -> int:
    """Where a level comes in LEVELS; unknown ones last."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def level_words(level: str) -> str:
    """A figure's level in words."""
    return {"video": "video level", "clip": "clip level", "model": "whole model"}.get(level, level)
