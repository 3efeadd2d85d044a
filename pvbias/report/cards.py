"""Cards: the headline figures of each run, and their interpretation in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import words
from .accuracy import why_no_accuracy
from .figures import headline_figures, measured_metrics
from .metric import Reading
from .results import RunResults
from .tables import cell


@dataclass
class Number:
    """A headline figure as text; ``direction``: as in :class:`pvbias.report.tables.Row`."""

    title: str
    value: str
    interval: str
    unit: str
    direction: str


@dataclass
class Card:
    """The headline of one run; ``missing``: why it has no accuracy, where it was to have one."""

    name: str
    model: str
    color: int
    readings: list[Reading]
    numbers: list[Number]
    missing: str


def cards(runs: Sequence[RunResults]) -> list[Card]:
    """Make a card for each run."""
    return [
        Card(run.name, run.model, color, _readings(run), _numbers(run, runs), why_no_accuracy(run))
        for color, run in enumerate(runs)
    ]


def _readings(run: RunResults) -> list[Reading]:
    found = []
    for metric in measured_metrics([run]):
        reading = metric.read(run) if metric.read is not None else None
        if reading is not None:
            found.append(replace(reading, topic=reading.topic or metric.title))
    return found


def _numbers(run: RunResults, runs: Sequence[RunResults]) -> list[Number]:
    numbers = []
    for title, own in headline_figures(run).items():
        direction = own.metric.direction(own.figure.variant) if len(runs) > 1 else ""
        if own.figure.value is None:
            numbers.append(Number(title, "–", "undefined", "", direction))
        else:
            shown = cell(own)
            unit = "" if own.figure.unit in words.UNWRITTEN or shown.value == "none" else own.figure.unit
            numbers.append(Number(title, shown.value, shown.interval, unit, direction))
    return numbers
