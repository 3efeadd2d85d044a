"""The section of classes: accuracy on original clips against shuffled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvbias.registries import REPORT_SECTION
from pvbias.report import RunResults, Section, words
from pvbias.report.figures import result_of

from .drawing import ClassPoint, class_scatter


@dataclass
class Classes:
    """Classes, worst loss first.

    ``plots``: (run's column, SVG); ``rows``: (class, number of videos, (original, shuffled, change) of each run).
    """

    plots: list[tuple[int, str]]
    rows: list[tuple[str, str, list[tuple[str, str, str]]]]


def _classes(runs: Sequence[RunResults]) -> Classes | None:
    """Original against shuffled accuracy of each class, at video level."""
    per_run = [_class_points(run) for run in runs]
    if not any(per_run):
        return None
    scatter = []
    for column, points in enumerate(per_run):
        if points:
            alt = f"Scatter plot: accuracy on original and shuffled clips of each of {len(points)} classes"
            shown = [point for point, _ in points.values()]
            scatter.append((column, class_scatter(shown, color=column, prefix=f"classes-{column}", alt=alt)))
    first: dict[str, tuple[ClassPoint, int]] = {}
    for points in per_run:
        first = {**points, **first}
    ordered = sorted(first, key=lambda name: (first[name][0].shuffled - first[name][0].original, name))
    rows = []
    for name in ordered:
        cells = [_class_cells(points[name][0]) if name in points else ("–", "–", "–") for points in per_run]
        videos = [str(points[name][1]) for points in per_run if name in points]
        rows.append((name, " / ".join(dict.fromkeys(videos)), cells))
    return Classes(scatter, rows)


def _class_points(run: RunResults) -> dict[str, tuple[ClassPoint, int]]:
    """Accuracies and numbers of videos by class name; classes of the same name are told apart by their numbers."""
    table = result_of(run, "modulated_accuracy").tables.get("per_class", [])
    rows = [row for row in table if row.get("level", "video") == "video"]
    names = [str(row.get("class_name", row.get("class"))) for row in rows]
    points = {}
    for name, row in zip(names, rows, strict=True):
        original, shuffled = row.get("top1_original"), row.get("top1_shuffle")
        if original is not None and shuffled is not None:
            own = name if names.count(name) == 1 else f"{name} ({row.get('class')})"
            points[own] = (ClassPoint(own, original, shuffled), int(row.get("videos") or 0))
    return points


def _class_cells(point: ClassPoint) -> tuple[str, str, str]:
    lost = words.number(point.shuffled - point.original, "%", signed=True)
    return words.number(point.original, "%"), words.number(point.shuffled, "%"), lost


REPORT_SECTION.register(
    Section(
        title="Class by class",
        build=_classes,
        place=200,
        template=Path(__file__).with_name("templates") / "classes.html",
        evaluators={"modulated_accuracy": "accuracy on changed clips, log ratio"},
    ),
    name="classes",
)
