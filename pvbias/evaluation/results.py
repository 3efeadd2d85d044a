"""Results of evaluators: figures with units and intervals, tables, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of an evaluator, with unit and interval.

    Attributes:
        name: e.g. ``top1``; :class:`pvbias.report.Metric` says what figures of this name are to a reader.
        value: the number; None where it is undefined, and then ``note`` says why.
        unit: ``%`` (of a proportion), ``points`` (a difference of two), ``nats``, ``log ratio``, ``weight``, ...
        level: ``video`` (of the probabilities averaged over a video's views), ``clip`` (of each view by itself,
            averaged over a video's views and then over videos, so that a long video does not count more), or
            ``model``.
        variant: the modulation it was measured on, or compares the original with.
        interval: 95 % interval over videos (:mod:`.statistics`), where there is one. An end may be infinite; ``note``
            then says why.
        count: how many videos (or layers) it is computed from.
        note: what a reader has to know to read the number rightly.
        values: float64 ``(count,)``, where the figure is a mean over videos: what it is the mean of, in the order of
            the annotation (shares in [0, 1] where the unit is "%"), so that two runs on the same videos can be compared
            video by video. On disk they have a file of their own (:mod:`pvbias.report.per_video`).
    """

    name: str
    value: float | None
    unit: str
    level: str
    variant: str = "original"
    interval: tuple[float, float] | None = None
    count: int = 0
    note: str = ""
    values: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """A model's predictions for ``n`` videos: the class probabilities averaged over its views.

    Attributes:
        names: the videos' paths as the annotation file writes them, in its order; parts of a video share one.
        labels: int64 ``(n,)``, class indices; -1 where a video has none.
        probabilities: float32 ``(n, K)``; a row sums to 1.
        class_names: in label order; empty when the classes have none.
        variants: on modulated clips, by modulation: natural logarithms of the probabilities, float32 ``(n, K)``.
    """

    names: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: list[str] = field(default_factory=list)
    variants: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        videos, classes = self.probabilities.shape
        return f"<Predictions of {classes} classes for {videos} videos>"


@dataclass(kw_only=True, repr=False)
class Result:
    """The results of one evaluator.

    Attributes:
        figures: the numbers.
        tables: rows of plain values (str, int, float, bool, None), by table name; all rows of a table have the same
            keys.
        images: JPEG or PNG files by file name, which table rows may refer to.
        predictions: of the videos on original clips, from an evaluator of accuracy. On disk they have a file of their
            own, which :func:`pvbias.report.read_results` leaves alone.
        not_applicable: why there is nothing to report, if so.
    """

    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    predictions: Predictions | None = field(default=None, compare=False)
    not_applicable: str = ""

    def __repr__(self) -> str:
        """A summary in a line: tables and images can be long."""
        if self.not_applicable:
            return f"<Result: nothing, {self.not_applicable}>"
        parts = [", ".join(dict.fromkeys(figure.name for figure in self.figures)) or "no figures"]
        parts += [f"table {name} of {len(rows)} rows" for name, rows in self.tables.items()]
        if self.images:
            parts.append(f"{len(self.images)} images")
        if self.predictions is not None:
            parts.append(repr(self.predictions))
        return f"<Result: {'; '.join(parts)}>"
