"""The page of a table of networks x data sets x protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvbias.clips import ORIGINAL, modulation_label
from pvbias.evaluation import Predictions
from pvbias.files import write_atomically
from pvbias.report import plots, tables, words
from pvbias.report.metric import metric_of
from pvbias.report.results import PREDICTIONS, read_predictions
from pvbias.report.tables import Block, FigureTable, Row, Table, image_uri, text_table
from pvbias.report.templating import render_template

from .frames import frame_strips
from .metrics import EVALUATOR
from .table import Cell, TransferTable

_TEMPLATE = Path(__file__).with_name("templates") / "transfer.html"

#: Videos that one network has right and another wrong that are listed of each kind.
_LISTED = 12


@dataclass(frozen=True)
class Disagreement:
    """Videos that one of two networks has right and the other wrong, the clearest first.

    Attributes:
        title: which networks, on what.
        data: the data set.
        counts: videos that only the first, only the second, both and none have right.
        rows: for a table, those that only one has right.
    """

    title: str
    data: str
    counts: tuple[int, int, int, int]
    rows: list[dict[str, Any]]


def write_page(
    table: TransferTable, rows: Sequence[Mapping[str, Any]], path: Path, *, about: Mapping[str, str]
) -> Path:
    """Write the page.

    Args:
        table: all of whose cells are there.
        rows: :meth:`.TransferTable.rows`.
        path: of the page.
        about: how it was made, by heading.
    """
    pictures: dict[str, list[tuple[str, str]]] = {}
    for cell, result in table.results():
        for image in result.images.values():
            pictures.setdefault(f"{cell.name}, {cell.data}", []).append((cell.model, image_uri(image)))
    context = {
        "models": list(table.models),
        "colors": plots.COLORS,
        "runs": (),
        "figures": figure_table(list(table.models), rows),
        "notes": text_table("how figures were made", said) if (said := notes(rows)) else None,
        "pictures": pictures,
        "disagreements": [(each, _pictured(each, table) if each.rows else None) for each in disagreements(table)],
        "about": about,
    }
    return write_atomically(path, render_template(_TEMPLATE, context))


def figure_table(models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> FigureTable:
    """The figures of all cells: a block for each protocol and data set, a column for each network."""
    found = FigureTable([(model, column) for column, model in enumerate(models)], [])
    for place in dict.fromkeys((row["protocol"], row["data"]) for row in rows):
        mine = [row for row in rows if (row["protocol"], row["data"]) == place]
        block = Block(", ".join(place), "%", [])
        for name, clips in dict.fromkeys((row["figure"], row["clips"]) for row in mine):
            of_models = {row["model"]: row for row in mine if (row["figure"], row["clips"]) == (name, clips)}
            title = metric_of(EVALUATOR, name).title.replace(" of the probe", "")
            words_of_clips, direction = ("", "higher") if clips == ORIGINAL else (f", {modulation_label(clips)}", "")
            cells = [_cell(of_models.get(model)) for model in models]
            block.rows.append(Row(title + words_of_clips, cells, direction))
        found.blocks.append(block)
    return found


def notes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What the notes of figures say of a protocol and a data set, once for all networks and figures that have it."""
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for row in rows:
        if row["note"]:
            found.setdefault((row["protocol"], row["data"], row["note"]), {})[row["model"]] = None
    return [
        {"protocol": protocol, "data": data, "networks": ", ".join(models), "note": note}
        for (protocol, data, note), models in found.items()
    ]


def _cell(row: Mapping[str, Any] | None) -> tables.Cell:
    if row is None:
        return tables.Cell()
    ends, changes = [
        None if row[low] is None else (row[low], row[high])
        for low, high in (("low", "high"), ("difference_low", "difference_high"))
    ]
    change = "" if row["difference"] is None else words.number(row["difference"], "points", signed=True)
    return tables.Cell(
        value=words.number(row["value"], "%"),
        interval=words.interval(ends, "%"),
        change=change,
        change_interval=words.interval(changes, "points", signed=True),
        note=row["note"],
    )


def _pictured(differing: Disagreement, table: TransferTable) -> Table:
    """The videos, with their frames where the configuration names the list that they are of."""
    described, rows, strips = table.data[differing.data], differing.rows, {}
    if "list" in described:
        names = {row["video"] for row in rows}
        strips = frame_strips(described["list"], names, path_prefix=described.get("path_prefix", ""))
        strips = {f"frames of {name}": strip for name, strip in strips.items()}
        rows = [row | {"frames": name if (name := f"frames of {row['video']}") in strips else ""} for row in rows]
    return text_table("videos that only one has right", rows, strips)


def disagreements(table: TransferTable) -> list[Disagreement]:
    """Where each of the other networks and the first differ, for each protocol and data set that has predictions."""
    first: dict[tuple[str, str], tuple[str, Predictions]] = {}
    found = []
    for cell in table.cells:
        if not (cell.folder / PREDICTIONS).exists():
            continue
        name, ours = first.setdefault(
            (cell.data, cell.name), (cell.model, predictions := read_predictions(cell.folder))
        )
        if ours is not predictions and ours.names == predictions.names:
            found.append(_disagreement(cell, name, ours, predictions))
    return found


def _disagreement(cell: Cell, first: str, ours: Predictions, theirs: Predictions) -> Disagreement:
    second, title = cell.model, f"{cell.name}, {cell.data}: {first} and {cell.model}"
    labels, names = ours.labels, ours.class_names
    chosen = [np.asarray(each.probabilities).argmax(1) for each in (ours, theirs)]
    of_label = [np.asarray(each.probabilities)[np.arange(len(labels)), labels] for each in (ours, theirs)]
    right = [each == labels for each in chosen]
    margin = of_label[1] - of_label[0]
    rows: list[dict[str, Any]] = []
    for only, sign in ((second, 1), (first, -1)):
        mask = (right[1] & ~right[0]) if sign == 1 else (right[0] & ~right[1])
        for number in sorted(np.flatnonzero(mask).tolist(), key=lambda video: -sign * margin[video])[:_LISTED]:
            row = {"right": only, "video": ours.names[number], "class": _named(names, labels[number])}
            for model, classes, probabilities in zip((first, second), chosen, of_label, strict=True):
                row |= {
                    f"{model} says": _named(names, classes[number]),
                    f"{model}: p(class)": float(probabilities[number]),
                }
            rows.append(row)
    both = int((right[0] & right[1]).sum())
    counts = (int(right[0].sum()) - both, int(right[1].sum()) - both, both, int((~right[0] & ~right[1]).sum()))
    return Disagreement(title, cell.data, counts, rows)


def _named(names: Sequence[str], label: int) -> str:
    return names[label] if len(names) > label else str(label)
