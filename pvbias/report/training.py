"""The section of the training: losses and accuracies over the epochs, from ``train_log.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..evaluation.results import Result
from ..registries import REPORT_SECTION
from . import plots
from .figures import result_of
from .results import RunResults
from .section import Section
from .tables import Table, text_table, title_for

#: What a run's training is called beside its evaluators.
TRAINING = "training"

#: Rows of a table that are kept, evenly over the training: as many as a plot can show.
_KEPT = 200

#: Last parts of the names of what is logged in per cent, and of what says nothing of how well it goes.
_ACCURACIES, _OTHERS = (
    ("top1", "top5", "agreement"),
    ("grad_norm", "lr", "data_seconds", "compute_seconds", "eta_seconds"),
)

Row = Mapping[str, Any]


@dataclass
class TrainingSection:
    """``plots``: (caption, SVG); ``tables``: the numbers behind them."""

    plots: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def read_training(log: Path) -> Result | None:
    """Read the curves of a log (``train_log.jsonl``); None where there is none.

    Tables: ``steps`` (means over the steps since the row before: epoch, iteration, loss and its terms, accuracies,
        rates) and ``validation`` (epoch, iteration, figures), 200 rows at most.
    """
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # half a line: the disk was full, or the machine failed
            continue
        if row.get("kind") in rows:
            rows[row.pop("kind")].append(row)
    tables = {
        name: _table(rows[kind]) for name, kind in (("steps", "train"), ("validation", "validation")) if rows[kind]
    }
    return Result(tables=tables) if tables else None


def _training(runs: Sequence[RunResults]) -> TrainingSection | None:
    """Curves of one run, with all terms of its loss, or of several side by side: their losses, and the accuracies on
    the validation split where they have one, else in training."""
    steps, validations = ([_rows(run, name) for run in runs] for name in ("steps", "validation"))
    if not any(steps):
        return None
    section = TrainingSection()
    if len(runs) == 1:
        columns = [name for name in steps[0][0] if _kind(name) == "loss"]
        losses = [plots.Curve(name, color, _points(steps[0], name)) for color, name in enumerate(columns)]
        columns = [name for name in steps[0][0] if _kind(name) == "%"]
        accuracies = [
            plots.Curve(f"{name}, training", color, _points(steps[0], name)) for color, name in enumerate(columns)
        ]
        columns = [name for name in (validations[0] or [{}])[0] if _kind(name) == "%"]
        accuracies += [
            plots.Curve(f"{name}, validation", len(accuracies) + number, _points(validations[0], name))
            for number, name in enumerate(columns)
        ]
    else:
        losses = [
            plots.Curve(run.name, column, _points(steps[column], _main(steps[column], "loss")))
            for column, run in enumerate(runs)
        ]
        shown = validations if any(validations) else steps
        accuracies = [
            plots.Curve(run.name, column, _points(shown[column], _main(shown[column], "top1")))
            for column, run in enumerate(runs)
        ]
    for caption, curves, axis in (("Loss", losses, "loss"), (_accuracy_caption(runs, validations), accuracies, "%")):
        drawn = [curve for curve in curves if curve.points]
        if drawn:
            alt = f"Line plot: {caption.lower()} over the epochs of the training"
            svg = plots.curves(drawn, axis=axis, prefix=f"training-{axis.replace('%', 'accuracy')}", alt=alt)
            section.plots.append((caption, svg))
    section.tables = [
        text_table(title_for(what, run, runs), rows)
        for what, found in (("Steps", steps), ("Validations", validations))
        for run, rows in zip(runs, found, strict=True)
        if rows
    ]
    return section


def _accuracy_caption(runs: Sequence[RunResults], validations: Sequence[Sequence[Row]]) -> str:
    if len(runs) == 1:
        return "Accuracy"
    return "Top-1 accuracy, validation" if any(validations) else "Top-1 accuracy, training clips"


def _main(rows: Sequence[Row], name: str) -> str:
    """The name of a metric of the recognizer: with the phase's name where there are several."""
    return name if not rows or name in rows[0] else f"recognizer/{name}"


def _kind(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    if name in ("epoch", "iteration") or last.startswith(_OTHERS):
        return ""
    return "%" if last in _ACCURACIES else "loss"


def _points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[name]) for row in rows if row.get(name) is not None and row.get("epoch") is not None]


def _table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = list(dict.fromkeys(column for row in rows for column in row if not column.endswith("_seconds")))
    step = max(1, -(-len(rows) // _KEPT))
    kept = rows[::-1][::step][::-1]  # with the last one
    return [{column: row.get(column) for column in columns} for row in kept]


def _rows(run: RunResults, table: str) -> list[dict[str, Any]]:
    return result_of(run, TRAINING).tables.get(table, [])


REPORT_SECTION.register(
    Section(title="Training", build=_training, place=700, template="training.html", evaluators={TRAINING: "training"}),
    name="training",
)
