"""Figures and tables as text, in rows and columns: what any number of runs, or levels, have side by side."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Figure, Result
from . import words
from .differences import Key, difference
from .results import RunResults

#: In the order in which readers want them.
LEVELS = ("video", "clip", "model")


@dataclass
class Cell:
    """A figure as a table shows it; ``change`` is the difference to the first run, ``change_interval`` its interval."""

    value: str = "–"
    interval: str = ""
    change: str = ""
    change_interval: str = ""
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
    """The run's figure with a defined value; without ``level``, the video-level one, else the clip-level one. Where the
    video-level one is undefined that is what there is to say: the clip-level one beside other figures of video level
    would pass for it."""
    named = [figure for figure in all_figures(run) if (figure.name, figure.variant) == (name, variant)]
    for wanted in [level] if level else LEVELS:
        found = [figure for figure in named if figure.level == wanted]
        if found:
            return next((figure for figure in found if figure.value is not None), None)
    return None


def figure_table(runs: Sequence[RunResults], evaluators: Sequence[str]) -> FigureTable:
    """All figures of some evaluators."""
    indices = figure_indices(runs, evaluators)
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
            _whole_model([name for name in ordered(name for name, _, _ in keys) if name in whole], runs, indices)
        )
    for title, name, group_levels in groups:
        if name in whole:
            continue
        variants = ordered(variant for key_name, level, variant in keys if key_name == name and level in group_levels)
        rows, unit = [], ""
        for variant in variants:
            places = [(name, level, variant) for level in group_levels]
            figures = [index.get(key) for index in indices for key in places]
            unit = next((figure.unit for figure in figures if figure), unit)
            cells = [cell(figure) for figure in figures]
            if len(runs) > 1:
                _add_changes(cells, places[0], runs, indices)
            rows.append((words.variant_words(variant), cells))
        found.blocks.append(Block(title, unit, rows))
    return found


def _whole_model(names: Sequence[str], runs: Sequence[RunResults], indices: Sequence[dict[Key, Figure]]) -> Block:
    """Figures that the model has one of, a row each instead of a block each."""
    rows = []
    for name in names:
        key = (name, "model", "original")
        figures = [index.get(key) for index in indices]
        unit = next(figure.unit for figure in figures if figure)
        cells = [cell(figure) for figure in figures]
        _add_changes(cells, key, runs, indices)
        rows.append((f"{words.figure_words(name)}, %" if unit == "%" else words.figure_words(name), cells))
    return Block("Whole model", "", rows)


def _add_changes(
    cells: Sequence[Cell], key: Key, runs: Sequence[RunResults], indices: Sequence[dict[Key, Figure]]
) -> None:
    """Give the cells of all runs but the first their difference to the first one's figure."""
    for shown, run, own in list(zip(cells, runs, indices, strict=True))[1:]:
        change = difference(runs[0], indices[0], run, own, key)
        if change is not None:
            shown.change = words.number(change.value, change.unit, signed=True)
            shown.change_interval = words.interval(change.interval, change.unit, signed=True)


def cell(figure: Figure | None) -> Cell:
    """A figure as text."""
    if figure is None:
        return Cell()
    if figure.value is None:
        return Cell("undefined", note=figure.note)
    value, interval = words.shown(figure), words.interval(figure.interval, figure.unit)
    return Cell(value, "" if (value, interval) == ("none", "[0, 0]") else interval, note=figure.note)


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


def figure_indices(runs: Sequence[RunResults], evaluators: Sequence[str]) -> list[dict[Key, Figure]]:
    """:func:`figure_index` of each run, without clip level where it says in no figure of any run anything else than
    video level does: where a video is seen as one clip."""
    indices = [figure_index(run, evaluators) for run in runs]
    clip_level = [(index, key) for index in indices for key in index if key[1] == "clip"]
    if all(_same(index[key], index.get((key[0], "video", key[2]))) for index, key in clip_level):
        for index, key in clip_level:
            del index[key]
    return indices


def _same(clip: Figure, video: Figure | None) -> bool:
    # As text: the two are computed in different orders, and differ in their last digits.
    return video is not None and cell(clip) == cell(video)


def ordered(items: Iterable[Any]) -> list[Any]:
    """Each item once, in order of first appearance."""
    return list(dict.fromkeys(items))


def level_rank(level: str) -> int:
    """Where a level comes in LEVELS; unknown ones last."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def level_words(level: str) -> str:
    """A figure's level in words."""
    return {"video": "video level", "clip": "clip level", "model": "whole model"}.get(level, level)
