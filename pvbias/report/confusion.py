"""Confusion matrices of runs, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.results import Predictions
from ..evaluation.rows import row_blocks
from ..registries import REPORT_SECTION
from .results import RunResults
from .section import Section
from .tables import Table

#: Up to so many classes, all of them are shown against one another.
_SHOWN = 24
#: Confusions that are listed.
_LISTED = 15


@dataclass
class Confusion:
    """A run's confusion matrix. ``column``: of the run; ``names``: of the classes that occur, as labels or as
    predictions, in label order (none where they are too many to be shown); ``rows``: for each label that occurs its
    place among the names, its number of videos, and (count, share) of each predicted class; ``frequent``: the most
    frequent confusions, or None."""

    column: int
    names: list[str]
    rows: list[tuple[int, int, list[tuple[int, float]]]]
    frequent: Table | None


def _confusions(runs: Sequence[RunResults]) -> list[Confusion] | None:
    """The confusion matrix of each run with predictions and labels: first choices at video level, on original clips."""
    found = [
        _confusion(column, run.predictions)
        for column, run in enumerate(runs)
        if run.predictions is not None and (run.predictions.labels >= 0).any()
    ]
    return found or None


def _confusion(column: int, predictions: Predictions) -> Confusion:
    labelled = predictions.labels >= 0
    first_choices = np.concatenate([block.argmax(1) for block in row_blocks(predictions.probabilities)])
    labels, chosen = predictions.labels[labelled], first_choices[labelled]
    classes = np.unique(np.concatenate([labels, chosen]))
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (np.searchsorted(classes, labels), np.searchsorted(classes, chosen)), 1)
    names = [_name(predictions, int(label)) for label in classes]
    totals = counts.sum(1)
    rows = [
        (int(place), int(totals[place]), [(int(count), float(count / totals[place])) for count in counts[place]])
        for place in np.flatnonzero(totals)
    ]
    shown = len(classes) <= _SHOWN
    return Confusion(column, names if shown else [], rows if shown else [], _frequent(names, counts))


def _frequent(names: Sequence[str], counts: np.ndarray) -> Table | None:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    pairs = [(label, chosen) for label, chosen in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    rows = [
        [
            names[label],
            names[chosen],
            str(wrong[label, chosen]),
            f"{100 * wrong[label, chosen] / counts[label].sum():.0f} %",
        ]
        for label, chosen in pairs
        if wrong[label, chosen]
    ]
    if not rows:
        return None
    columns: list[str] = ["label", "taken for", "videos", "of the class"]
    return Table("Most frequent confusions", columns, [list(row) for row in rows])


def _name(predictions: Predictions, label: int) -> str:
    return predictions.class_names[label] if label < len(predictions.class_names) else str(label)


REPORT_SECTION.register(
    Section(title="What is taken for what", build=_confusions, place=300, template="confusions.html"),
    name="confusions",
)
