"""What lies behind the headline figures: classes, layers and sample clips, for the template (see :mod:`.sections`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import plots, words
from .results import RunResults
from .sections import ASDT, BY_VARIANT, SAMPLES, SELF_CONVOLUTION
from .tables import FigureTable, Table, figure_table, image_uri, text_table, title_for

Row = dict[str, Any]


@dataclass
class ClassSection:
    """Classes, worst loss first.

    ``plots``: (run's column, SVG); ``rows``: (class, number of videos, (original, shuffled, change) of each run).
    """

    plots: list[tuple[int, str]]
    rows: list[tuple[str, str, list[tuple[str, str, str]]]]


@dataclass
class LayerSection:
    """``profile``: ASDT over depth, or empty; ``shares``: (run's column, SVG); ``tables``: every layer's values."""

    figures: FigureTable
    profile: str = ""
    shares: list[tuple[int, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


@dataclass
class Prediction:
    """What one run says of one variant; ``right`` is None where there is no label."""

    color: int
    predicted: str
    probability: str
    right: bool | None


@dataclass
class Strip:
    """Frames of a clip (data URI or empty) and what those runs say of it that have seen these frames."""

    image: str
    predictions: list[Prediction] = field(default_factory=list)


@dataclass
class Sample:
    """One video: the names that the runs' lists give it, its label, and the strips of each variant, by its name."""

    names: list[str]
    label: str
    variants: dict[str, dict[bytes, Strip]] = field(default_factory=dict)


def classes(runs: Sequence[RunResults]) -> ClassSection | None:
    """Original against shuffled accuracy of each class, at video level."""
    per_run = [_class_points(run) for run in runs]
    if not any(per_run):
        return None
    scatter = []
    for column, points in enumerate(per_run):
        if points:
            alt = f"Scatter plot: accuracy on original and shuffled clips of each of {len(points)} classes"
            shown = [point for point, _ in points.values()]
            scatter.append((column, plots.class_scatter(shown, color=column, prefix=f"classes-{column}", alt=alt)))
    first: dict[str, tuple[plots.ClassPoint, int]] = {}
    for points in per_run:
        first = {**points, **first}
    ordered = sorted(first, key=lambda name: (first[name][0].shuffled - first[name][0].original, name))
    rows = []
    for name in ordered:
        cells = [_class_cells(points[name][0]) if name in points else ("–", "–", "–") for points in per_run]
        videos = [str(points[name][1]) for points in per_run if name in points]
        rows.append((name, " / ".join(dict.fromkeys(videos)), cells))
    return ClassSection(scatter, rows)


def layers(runs: Sequence[RunResults]) -> LayerSection | None:
    """ASDT and temporal channels, layer by layer."""
    asdt = [_rows(run, ASDT, "layers") for run in runs]
    shares = [_rows(run, SELF_CONVOLUTION, "layers") for run in runs]
    section = LayerSection(figure_table(runs, (ASDT, SELF_CONVOLUTION)))
    if any(asdt):
        series = [
            plots.Series(column, runs[column].name, [plots.Value(row.get("asdt")) for row in rows])
            for column, rows in enumerate(asdt)
            if rows
        ]
        alt = "Line plot: ASDT of each layer from input to output"
        section.profile = plots.depth_profile(series, axis="ASDT", prefix="asdt", alt=alt)
    for column, rows in enumerate(shares):
        if rows:
            alt = f"Stacked bars: share of temporal and static channels of each layer, {runs[column].name}"
            temporal = [row.get("temporal_share") for row in rows]
            svg = plots.channel_shares(temporal, color=column, prefix=f"shares-{column}", alt=alt)
            section.shares.append((column, svg))
    section.tables = [
        text_table(title_for(what, run, runs), rows)
        for what, found in (("ASDT", asdt), ("Temporal and static channels", shares))
        for run, rows in zip(runs, found, strict=True)
        if rows
    ]
    return section if section.tables or section.figures.blocks else None


def samples(runs: Sequence[RunResults]) -> list[Sample]:
    """Sample clips. Videos are the same when their content and their label are, whatever they are called; runs that
    have sampled the same frames share a strip."""
    found: dict[tuple[str, str], Sample] = {}
    for column, run in enumerate(runs):
        for row in _rows(run, SAMPLES, "samples"):
            video, label = str(row.get("video")), row.get("label")
            known = label is not None and label != ""
            # Older results only say what a video is called: that makes it no other run's.
            content = row.get("content") or f"{column}: {video}"
            sample = found.setdefault((str(content), str(label)), Sample([], str(label) if known else ""))
            if video not in sample.names:
                sample.names.append(video)
            image = run.results[SAMPLES].images.get(str(row.get("image")), b"")
            strips = sample.variants.setdefault(words.variant_words(str(row.get("variant"))), {})
            probability = row.get("probability")
            shown = "" if probability is None else f"{100 * probability:.0f} %"
            right = row.get("predicted") == label if known else None
            prediction = Prediction(column, str(row.get("predicted")), shown, right)
            strip = strips.setdefault(image, Strip(image_uri(image)))
            if prediction not in strip.predictions:  # a list may have a video twice
                strip.predictions.append(prediction)
    return list(found.values())


def _class_points(run: RunResults) -> dict[str, tuple[plots.ClassPoint, int]]:
    """(accuracies, number of videos) by class name; classes of the same name are told apart by their numbers."""
    rows = [row for row in _rows(run, BY_VARIANT, "per_class") if row.get("level", "video") == "video"]
    names = [str(row.get("class_name", row.get("class"))) for row in rows]
    points = {}
    for name, row in zip(names, rows, strict=True):
        original, shuffled = row.get("top1_original"), row.get("top1_shuffle")
        if original is not None and shuffled is not None:
            own = name if names.count(name) == 1 else f"{name} ({row.get('class')})"
            points[own] = (plots.ClassPoint(own, original, shuffled), int(row.get("videos") or 0))
    return points


def _class_cells(point: plots.ClassPoint) -> tuple[str, str, str]:
    lost = words.number(point.shuffled - point.original, "%", signed=True)
    return words.number(point.original, "%"), words.number(point.shuffled, "%"), lost


def _rows(run: RunResults, evaluator: str, name: str) -> list[Row]:
    return run.results[evaluator].tables.get(name, []) if evaluator in run.results else []
