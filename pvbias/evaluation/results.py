"""What an evaluator reports: figures with units and intervals, and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        name: e.g. ``top1``, ``log_ratio``, ``dynamic_score``, ``agreement``.
        value: the number; None where it is undefined, and then ``note`` says why.
        unit: ``%``, ``nats``, ``log ratio``, ``weight``, ...
        level: ``video`` (of the probabilities averaged over a video's views), ``clip`` (of each view by itself,
            averaged over a video's views and then over videos, so that a long video does not count more), or
            ``model``.
        variant: the modulation it was measured on, or compares the original with.
        interval: 95 % bootstrap interval over videos, where there is one. An end may be infinite; ``note`` then says
            why.
        count: how many videos (or layers) it is computed from.
        note: what a reader has to know to read the number rightly.
    """

    name: str
    value: float | None
    unit: str
    level: str
    variant: str = "original"
    interval: tuple[float, float] | None = None
    count: int = 0
    note: str = ""


@dataclass(kw_only=True)
class Result:
    """Everything one evaluator reports.

    Attributes:
        figures: the numbers.
        tables: rows of plain values (str, int, float, bool, None), by table name; all rows of a table have the same
            keys.
        images: JPEG or PNG files by file name, which table rows may refer to.
        not_applicable: why there is nothing to report, if so.
    """

    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    not_applicable: str = ""
