"""What the page shows of one run or several: plain values and finished plots, section by section, for the template.

Every function takes the runs in the order of their columns and returns None (or an empty list) where no run has anything to show.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Figure, Result
from . import plots, words
from .results import RunResults

#: The evaluators that the page knows; a plugin's own get the general section.
ACCURACY, BY_VARIANT, DYNAMIC, ASDT, SELF_CONVOLUTION, SAMPLES = (
    "accuracy",
    "modulated_accuracy",
    "dynamic_score",
    "asdt",
    "self_convolution",
    "sample_clips",
)
KNOWN = {ACCURACY, BY_VARIANT, DYNAMIC, ASDT, SELF_CONVOLUTION, SAMPLES}
LEVELS = ("video", "clip", "model")

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
    """Figures of one run, a column for each level, or of several, a column for each run. ``columns``: (title, the run's colour)."""

    columns: list[tuple[str, int | None]]
    blocks: list[Block]


@dataclass
class Section:
    """Plots, as (caption, SVG), and figures."""

    plots: list[tuple[str, str]]
    figures: FigureTable


@dataclass
class Table:
    """Any table of any evaluator."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass
class Card:
    """The headline of one run."""

    name: str
    model: str
    color: int
    readings: list[tuple[str, words.Reading]]
    numbers: list[tuple[str, str, str, str]]  # what, value, interval, unit
    missing: str


def find(run: RunResults, name: str, variant: str, *, level: str = "") -> Figure | None:
    """The run's figure with a defined value; without ``level``, the video-level one, else the clip-level one."""
    for wanted in [level] if level else LEVELS:
        for figure in _figures(run):
            if (figure.name, figure.variant, figure.level) == (name, variant, wanted) and figure.value is not None:
                return figure
    return None


def headline(runs: Sequence[RunResults]) -> list[Card]:
    """A card for each run."""
    return [_card(run, color) for color, run in enumerate(runs)]


def summary(runs: Sequence[RunResults]) -> str:
    """Which of several runs uses the order of frames most, in one sentence; empty when that cannot be said."""
    for name, unit, what in (("log_ratio", "log ratio", "log ratio"), ("dynamic_score", "nats", "dynamic score by shuffling")):
        figures = [(run.name, figure.value) for run in runs if (figure := find(run, name, "shuffle")) and figure.value is not None]
        if len(figures) == len(runs) > 1:
            figures.sort(key=lambda item: -item[1])
            (most, high), (least, low) = figures[0], figures[-1]
            return (
                f"“{most}” uses the order of frames most ({what} {words.number(high, unit)}), "
                f"“{least}” least ({words.number(low, unit)})."
            )
    return ""


def warnings(runs: Sequence[RunResults]) -> list[tuple[str, list[str]]]:
    """What keeps the figures of these runs from being compared just like that: (warning, what each run did)."""
    checks: list[tuple[str, Callable[[RunResults], str]]] = [
        (
            "The videos or labels are not the same: figures differ because of the data as well as the model.",
            lambda run: f"{run.num_videos:,} videos, fingerprint {run.data_fingerprint}",
        ),
        (
            "Clips were sampled differently, and dynamic scores grow with the time a clip covers: do not compare scores.",
            lambda run: run.sampling + (f" ({run.clip_seconds:.2f} s)" if run.clip_seconds else ""),
        ),
        ("Videos were seen in different views: do not compare video-level figures.", lambda run: run.views),
        ("Number formats differ: small differences between scores may come from rounding.", lambda run: run.precision),
        (
            "The models tell different numbers of classes apart: accuracies and scores are not on the same scale.",
            lambda run: f"{run.num_classes} classes",
        ),
    ]
    found = []
    for warning, value in checks:
        if len({value(run) for run in runs}) > 1:
            found.append((warning, [value(run) or "unknown" for run in runs]))
    return found


def accuracy(runs: Sequence[RunResults]) -> Section | None:
    """Top-1 and top-5 by variant, and the log ratios."""
    figures = [_index(run, (ACCURACY, BY_VARIANT)) for run in runs]
    section = Section([], figure_table(runs, (ACCURACY, BY_VARIANT)))
    for level in LEVELS[:2]:
        variants = _ordered(key[2] for index in figures for key in index if key[:2] == ("top1", level))
        if not variants:
            continue
        section.plots.append(
            (
                f"Top-1 accuracy by variant, {_level_words(level)}",
                plots.interval_bars(
                    [words.variant_words(variant) for variant in variants],
                    [_series(runs, figures, i, [("top1", level, variant) for variant in variants]) for i in range(len(runs))],
                    axis="top-1 accuracy, %",
                    prefix=f"accuracy-{level}",
                    alt=f"Bar chart: top-1 accuracy for each variant of the clips, {_level_words(level)}",
                    limit=100,
                    chance=[100.0 / run.num_classes for run in runs if run.num_classes],
                ),
            )
        )
    return section if section.figures.blocks else None


def dynamics(runs: Sequence[RunResults]) -> Section | None:
    """Dynamic scores and agreement."""
    figures = [_index(run, (DYNAMIC,)) for run in runs]
    section = Section([], figure_table(runs, (DYNAMIC,)))
    for level in LEVELS[:2]:
        variants = _ordered(key[2] for index in figures for key in index if key[:2] == ("dynamic_score", level))
        if not variants:
            continue
        section.plots.append(
            (
                f"Dynamic score, {_level_words(level)}",
                plots.interval_bars(
                    [words.variant_words(variant) for variant in variants],
                    [_series(runs, figures, i, [("dynamic_score", level, v) for v in variants]) for i in range(len(runs))],
                    axis="dynamic score, nats",
                    prefix=f"dynamic-{level}",
                    alt=f"Bar chart: dynamic score, {_level_words(level)}",
                    digits=2,
                ),
            )
        )
    return section if section.figures.blocks else None


def other_evaluators(runs: Sequence[RunResults]) -> list[tuple[str, FigureTable, list[Table]]]:
    """Figures and tables of evaluators that the page knows nothing of: (name, figures, tables)."""
    found = []
    for evaluator in _ordered(name for run in runs for name in run.results if name not in KNOWN):
        figures = figure_table(runs, (evaluator,))
        tables = [
            table(name if len(runs) == 1 else f"{name}: {run.name}", rows)
            for run in runs
            for name, rows in _result(run, evaluator).tables.items()
            if rows
        ]
        if figures.blocks or tables:
            found.append((evaluator, figures, tables))
    return found


def not_measured(runs: Sequence[RunResults]) -> list[tuple[str, str, str]]:
    """(run, measurement, why there is no figure), for whole measurements and for single undefined figures."""
    found = []
    for run in runs:
        for evaluator, result in run.results.items():
            if result.not_applicable:
                found.append((run.name, words.figure_words(evaluator), result.not_applicable))
            for figure in result.figures:
                if figure.value is None:
                    what = f"{words.figure_words(figure.name)}, {words.variant_words(figure.variant)}, {_level_words(figure.level)}"
                    found.append((run.name, what, figure.note or "no reason given"))
    return found


def bad_videos(runs: Sequence[RunResults]) -> list[tuple[str, int, list[tuple[str, int]], list[dict[str, str]]]]:
    """(run, number of videos tried, counts by cause, the first 50) for each run that left videos out."""
    found = []
    for run in runs:
        if run.bad_videos:
            causes = Counter(str(bad.get("cause", "unknown")) for bad in run.bad_videos)
            tried = run.num_videos + len(run.bad_videos)
            found.append((run.name, tried, causes.most_common(), [_bad_row(bad) for bad in run.bad_videos[:50]]))
    return found


def details(runs: Sequence[RunResults]) -> list[tuple[str, list[str], bool]]:
    """(what, value for each run, whether they differ)."""
    fields: list[tuple[str, Callable[[RunResults], Any]]] = [
        ("Model", lambda run: run.model),
        ("Classes", lambda run: run.num_classes),
        ("Weights", lambda run: run.weights),
        ("Weights loaded", lambda run: run.load_summary),
        ("Data", lambda run: run.data),
        ("Fingerprint of the data", lambda run: run.data_fingerprint),
        ("Videos measured", lambda run: f"{run.num_videos:,}"),
        ("Videos left out", lambda run: len(run.bad_videos)),
        ("Clips", lambda run: run.sampling),
        ("Views of a video", lambda run: run.views),
        ("Precision", lambda run: run.precision),
        ("Seed", lambda run: run.seed),
        ("Began", lambda run: run.date),
        ("Took", lambda run: _duration(run.duration_seconds)),
        ("Command", lambda run: run.command),
    ]
    rows = [(what, [str(value(run)) for run in runs]) for what, value in fields]
    for key in _ordered(key for run in runs for key in run.settings):
        rows.append((f"Machine: {key.replace('_', ' ')}", [str(run.settings.get(key, "–")) for run in runs]))
    for key in _ordered(key for run in runs for key in run.versions):
        rows.append((f"Version: {key}", [run.versions.get(key, "–") for run in runs]))
    return [(what, values, len(set(values)) > 1) for what, values in rows]


def image_uri(content: bytes) -> str:
    """A JPEG or PNG file as a data URI; empty for anything else."""
    for magic, kind in ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png")):
        if content.startswith(magic):
            return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return ""


def _card(run: RunResults, color: int) -> Card:
    original, shuffled = find(run, "top1", "original"), find(run, "top1", "shuffle")
    if original and shuffled and original.level != shuffled.level:
        shuffled = find(run, "top1", "shuffle", level=original.level)
    ratio = find(run, "log_ratio", "shuffle")
    frozen = next((f for f in _figures(run) if f.name == "dynamic_score" and _is_main_freeze(f)), None)
    score = frozen or find(run, "dynamic_score", "shuffle")
    readings = []
    if original and shuffled:
        readings.append(("order", words.read_shuffling(original, shuffled, ratio, run.num_classes)))
    if score:
        readings.append(("motion", words.read_dynamic_score(score, find(run, "agreement", score.variant, level=score.level))))
    headline_figures = [
        ("top-1 accuracy", original),
        ("log ratio, shuffled", ratio or _undefined(run, "log_ratio", "shuffle")),
        ("dynamic score, frozen", frozen),
        ("dynamic score, shuffled", find(run, "dynamic_score", "shuffle")),
    ]
    numbers = []
    for what, figure in headline_figures:
        if figure is not None:
            shown = _cell(figure, None)
            numbers.append((what, shown.value, shown.interval, "" if figure.value is None else _unit(figure.unit)))
    missing = "" if original else _result(run, BY_VARIANT).not_applicable or _result(run, ACCURACY).not_applicable
    return Card(run.name, run.model, color, readings, numbers, missing)


def _undefined(run: RunResults, name: str, variant: str) -> Figure | None:
    return next((figure for figure in _figures(run) if (figure.name, figure.variant) == (name, variant)), None)


def _unit(unit: str) -> str:
    return "" if unit == "log ratio" else unit


def _bad_row(bad: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(bad.get(key, "")) for key in ("name", "cause", "detail")}


def _is_main_freeze(figure: Figure) -> bool:
    return figure.variant.startswith("freeze") and figure.level == "video" and figure.value is not None


def figure_table(runs: Sequence[RunResults], evaluators: Sequence[str]) -> FigureTable:
    """All figures of some evaluators."""
    indices = [_index(run, evaluators) for run in runs]
    keys = _ordered(key for index in indices for key in index)
    levels = sorted({level for _, level, _ in keys}, key=lambda level: (_level_rank(level), level))
    found = FigureTable([], [])
    if len(runs) == 1:
        found.columns = [(_level_words(level), None) for level in levels]
        groups = [(words.figure_words(name), name, levels) for name in _ordered(name for name, _, _ in keys)]
    else:
        found.columns = [(run.name, column) for column, run in enumerate(runs)]
        pairs = sorted(_ordered((name, level) for name, level, _ in keys), key=lambda pair: _level_rank(pair[1]))
        groups = [(f"{words.figure_words(name)}, {_level_words(level)}", name, [level]) for name, level in pairs]
    whole = {name for name, _, _ in keys} - {name for name, level, variant in keys if (level, variant) != ("model", "original")}
    if whole:
        found.blocks.append(_whole_model([name for name in _ordered(name for name, _, _ in keys) if name in whole], indices))
    for title, name, group_levels in groups:
        if name in whole:
            continue
        variants = _ordered(variant for key_name, level, variant in keys if key_name == name and level in group_levels)
        rows, unit = [], ""
        for variant in variants:
            figures = [index.get((name, level, variant)) for index in indices for level in group_levels]
            unit = next((figure.unit for figure in figures if figure), unit)
            first = figures[0] if len(runs) > 1 else None
            cells = [_cell(figure, first if column else None) for column, figure in enumerate(figures)]
            rows.append((words.variant_words(variant), cells))
        found.blocks.append(Block(title, unit, rows))
    return found


def _whole_model(names: Sequence[str], indices: Sequence[dict[Key, Figure]]) -> Block:
    """Figures that the model has one of, a row each instead of a block each."""
    rows = []
    for name in names:
        figures = [index.get((name, "model", "original")) for index in indices]
        unit = next(figure.unit for figure in figures if figure)
        cells = [_cell(figure, figures[0] if column else None) for column, figure in enumerate(figures)]
        rows.append((f"{words.figure_words(name)}, %" if unit == "%" else words.figure_words(name), cells))
    return Block("Whole model", "", rows)


def _cell(figure: Figure | None, first: Figure | None) -> Cell:
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


def _series(runs: Sequence[RunResults], figures: Sequence[dict[Key, Figure]], run: int, keys: Sequence[Key]) -> plots.Series:
    values = []
    for key in keys:
        figure = figures[run].get(key)
        low, high = figure.interval if figure and figure.interval else (None, None)
        values.append(plots.Value(figure.value if figure else None, low, high))
    return plots.Series(run, runs[run].name, values)


def _index(run: RunResults, evaluators: Sequence[str]) -> dict[Key, Figure]:
    figures: dict[Key, Figure] = {}
    for evaluator in evaluators:
        for figure in _result(run, evaluator).figures:
            figures.setdefault((figure.name, figure.level, figure.variant), figure)
    return figures


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """An evaluator's table (with at least one row) as text: dashes for None, four significant digits."""
    columns = list(rows[0])
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    return Table(title, [column.replace("_", " ") for column in columns], cells)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def _figures(run: RunResults) -> Iterator[Figure]:
    for result in run.results.values():
        yield from result.figures


def _result(run: RunResults, evaluator: str) -> Result:
    return run.results.get(evaluator) or Result()


def _ordered(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def _level_rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _level_words(level: str) -> str:
    return {"video": "video level", "clip": "clip level", "model": "whole model"}.get(level, level)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
