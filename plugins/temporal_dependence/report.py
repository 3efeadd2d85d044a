"""This plugin's part of the page: metrics, and the section on dependence on time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvbias.clips import ORIGINAL, modulation_label
from pvbias.evaluation import Figure
from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, RunResults, Section, plots, words
from pvbias.report.figures import result_of
from pvbias.report.sketches import Row, clips
from pvbias.report.tables import Table, text_table, title_for

from .curves import CURVES
from .drawing import Line, timing_curve

#: Name of the section.
TIMING = "timing"

#: Largest number of classes that are shown at each end.
_NAMED = 6

EXTENT = Metric(
    title="temporal extent",
    headlines=(Headline(),),
    place=250,
    higher_is_better=None,
    section=TIMING,
    pictures={
        "Temporal extent": clips(
            Row("segments of one frame", (3, 0, 5, 1, 4, 2), 0.05),
            Row("of two", (4, 5, 2, 3, 0, 1), 0.5),
            Row("all in order", (0, 1, 2, 3, 4, 5), 1.0),
        )
    },
    glossary={
        "Temporal extent": (
            "Clips are cut into segments whose order is lost while that inside them is kept. The longer the segments, "
            "the more of the score of the predicted class is there again. The extent is the number of frames over "
            "which a network would have to relate frames to reach half of its score at the same length: its temporal "
            "receptive field, where it averages what it sees over time and uses all of the field."
        )
    },
)
WITHIN = Metric(
    title="accuracy within reversed pairs",
    headlines=(Headline(),),
    place=240,
    higher_is_better=True,
    section=TIMING,
    pictures={
        "Accuracy within reversed pairs": clips(
            Row("opening", (0, 1, 2, 3, 4, 5), 0.9), Row("closing: the same frames", (5, 4, 3, 2, 1, 0), 0.1)
        )
    },
    glossary={
        "Accuracy within reversed pairs": (
            "Of videos whose class is another one played backwards (opening, closing): how often the right one of the "
            "two gets the higher score. Single frames say the same of both, so guessing gets 50\N{NO-BREAK SPACE}%. "
            "On clips played backwards a network that sees the direction is below that."
        )
    },
)
METRIC.register(EXTENT, name="temporal_dependence/extent")
METRIC.register(Metric(title="top-1 accuracy, timing changed", section=TIMING), name="temporal_dependence/top1")
METRIC.register(
    Metric(title="divergence of predictions", section=TIMING, resolution=words.RESOLUTION),
    name="temporal_dependence/divergence",
)
METRIC.register(
    Metric(title="fall of the predicted class's score", section=TIMING), name="temporal_dependence/class_score"
)
METRIC.register(WITHIN, name="reversed_pairs/within_pairs")
METRIC.register(
    Metric(
        title="drop when a part is hidden",
        section=TIMING,
        pictures={
            "Occlusion over time": clips(
                Row("a clip, and its first choice", (0, 1, 2, 3, 4, 5), 0.9),
                Row("a part that matters hidden", (0, 1, None, 3, 4, 5), 0.4),
            )
        },
        glossary={
            "Occlusion over time": (
                "A part of the clip is hidden, the frame before it held in its place: how far the probability of the "
                "predicted class falls. What the neighbours of a part show, too, does not count."
            )
        },
    ),
    name="temporal_occlusion/drop",
)
METRIC.register(Metric(title="equality of all parts, p-value", section=TIMING), name="temporal_occlusion/unequal")


@dataclass
class Timing:
    """Content of the section.

    ``extents``: (run's column, sentence). ``curves``: of each measure its name and (caption, SVG) of each curve.
    ``classes``: of each run (column, sentence, rows). ``pairs``: of each run (column, rows). ``occlusion``: (column,
    sentence, SVG). ``strips`` and ``tables``: pictures and figures, folded.
    """

    extents: list[tuple[int, str]] = field(default_factory=list)
    curves: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    classes: list[tuple[int, str, list[dict[str, str]]]] = field(default_factory=list)
    pairs: list[tuple[int, list[dict[str, str]]]] = field(default_factory=list)
    occlusion: list[tuple[int, str, str]] = field(default_factory=list)
    strips: list[Table] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def _build(runs: Sequence[RunResults]) -> Timing | None:
    content = Timing()
    names = ("temporal_dependence", "reversed_pairs", "temporal_occlusion", "occlusion_strips")
    if not any(result_of(run, name).figures or result_of(run, name).tables for run in runs for name in names):
        return None
    for column, run in enumerate(runs):
        dependence = result_of(run, "temporal_dependence")
        if sentence := _extent_in_words(run, dependence.figures):
            content.extents.append((column, sentence))
        if rows := dependence.tables.get("classes"):
            content.classes.append((column, _named_in_words(rows), _largest(rows)))
            content.tables.append(text_table(title_for("Every class", run, runs), rows))
        if rows := result_of(run, "reversed_pairs").tables.get("pairs"):
            content.pairs.append((column, [_pair_cells(row) for row in rows]))
        if figures := result_of(run, "temporal_occlusion").figures:
            content.occlusion.append((column, _unequal_in_words(figures), _occlusion_plot(column, figures)))
        strips = result_of(run, "occlusion_strips")
        if rows := strips.tables.get("strips"):
            content.strips.append(text_table(title_for("Parts of single clips", run, runs), rows, strips.images))
        if figures := [each for each in dependence.figures if each.name in ("top1", "divergence")]:
            content.tables.append(text_table(title_for("All figures of the curves", run, runs), _rows(figures)))
    content.curves = _curves(runs)
    return content


def _extent_in_words(run: RunResults, figures: Sequence[Figure]) -> str:
    extent = next((each for each in figures if each.name == "extent"), None)
    if extent is None:
        return ""
    if extent.value is None:
        return f"No temporal extent, {extent.note}."
    frames = max((int(row["at"]) for row in _points(run) if row["curve"] == "cut"), default=0)
    seconds = ""
    if run.clip_seconds and frames:
        seconds = f", {words.number(extent.value * run.clip_seconds / frames, 's')} s"
    ends = f" {words.interval(extent.interval, 'frames')}" if extent.interval else ""
    return f"Temporal extent: {words.number(extent.value, 'frames')} of {frames} frames{ends}{seconds}."


def _curves(runs: Sequence[RunResults]) -> list[tuple[str, list[tuple[str, str]]]]:
    chance = [100.0 / run.num_classes for run in runs if run.num_classes]
    found = []
    for measure, title, unit in (("top1", "Accuracy", "top-1 accuracy, %"), ("divergence", "Divergence", "nats")):
        plotted = []
        for curve, axis in CURVES.items():
            lines = [_line(run, column, curve, measure) for column, run in enumerate(runs)]
            lines = [line for line in lines if sum(value.value is not None for _, value in line.points) > 1]
            if not lines or curve == "reverse":  # two points, which the table has
                continue
            originals = {
                row["at"] for run in runs for row in _points(run) if (row["curve"], row["spec"]) == (curve, ORIGINAL)
            }
            svg = timing_curve(
                curve,
                lines,
                axis=axis,
                measure=unit,
                prefix=f"timing-{curve}-{measure}",
                alt=f"Curve: {title.lower()} over {axis}, video level",
                original=originals.pop() if len(originals) == 1 else None,
                chance=chance if measure == "top1" else (),
                top=100 if measure == "top1" else None,
            )
            plotted.append((f"{title}: {axis}", svg))
        if plotted:
            found.append((title, plotted))
    return found


def _line(run: RunResults, column: int, curve: str, measure: str) -> Line:
    figures = {
        each.variant: each
        for each in result_of(run, "temporal_dependence").figures
        if (each.name, each.level) == (measure, "video")
    }
    points = []
    for row in _points(run):
        if row["curve"] != curve:
            continue
        own = figures.get(str(row["spec"]))
        if own is not None:
            low, high = own.interval or (None, None)
            points.append((float(row["at"]), plots.Value(own.value, low, high)))
        elif (measure, row["spec"]) == ("divergence", ORIGINAL):
            points.append((float(row["at"]), plots.Value(0.0)))
    return Line(column, run.name, points)


def _points(run: RunResults) -> list[dict]:
    return result_of(run, "temporal_dependence").tables.get("curves", [])


def _named_in_words(rows: Sequence[Mapping]) -> str:
    named = [row for row in rows if row["named"]]
    if not named:
        return (
            "No single class can be told to gain or lose (exact sign test, Holm's correction for "
            f"{words.counted(len(rows), 'comparison')})."
        )
    lost = [f"{row['class_name']} ({_kind(row)})" for row in named if row["change"] < 0]
    gained = [f"{row['class_name']} ({_kind(row)})" for row in named if row["change"] > 0]
    parts = [f"{what}: {', '.join(some[:12])}" for what, some in (("Lose", lost), ("Gain", gained)) if some]
    test = f"exact sign test, 5\N{NO-BREAK SPACE}% after Holm's correction for {len(rows)} comparisons"
    return f"{'. '.join(parts)} ({test})."


def _kind(row: Mapping) -> str:
    return "played backwards" if row["variant"] == "reverse" else "shuffled"


def _largest(rows: Sequence[Mapping]) -> list[dict[str, str]]:
    """The classes of the largest losses and gains, as text."""
    shown = list(rows) if len(rows) <= 2 * _NAMED else [*rows[:_NAMED], *rows[-_NAMED:]]
    return [
        {
            "name": str(row["class_name"]),
            "kind": _kind(row),
            "videos": str(row["videos"]),
            "original": words.number(row["top1_original"], "%"),
            "changed": words.number(row["top1"], "%"),
            "change": words.number(row["change"], "points", signed=True),
            "interval": ""
            if row["change_low"] is None
            else words.interval((row["change_low"], row["change_high"]), "points", signed=True),
            "certain": "yes" if row["named"] else "no",
        }
        for row in shown
    ]


def _pair_cells(row: Mapping) -> dict[str, str]:
    ends = "" if row["within_low"] is None else words.interval((row["within_low"], row["within_high"]), "%")
    return {
        "pair": f"{row['class']} / {row['reversed']}",
        "quality": str(row["quality"]),
        "videos": str(row["videos"]),
        "within": words.number(row["within"], "%"),
        "interval": ends,
        "backwards": words.number(row["played_backwards"], "%"),
        "shuffled": words.number(row["shuffled"], "%"),
    }


def _unequal_in_words(figures: Sequence[Figure]) -> str:
    p = next((each.value for each in figures if each.name == "unequal"), None)
    if p is None:
        return "Whether some parts matter more than others cannot be told."
    if p < 0.05:
        return f"Some parts of a clip matter more than others (Friedman's test over videos, p = {p:.2g})."
    return f"No part can be told to matter more than another (Friedman's test over videos, p = {p:.2g})."


def _occlusion_plot(column: int, figures: Sequence[Figure]) -> str:
    drops = [each for each in figures if each.name == "drop"]
    values: list[tuple[float, plots.Value]] = []
    for each in drops:
        low, high = each.interval or (None, None)
        values.append((float(len(values) + 1), plots.Value(each.value, low, high)))
    return timing_curve(
        "parts",
        [Line(column, "", values)],
        axis="hidden part of the clip",
        measure="drop, points of probability",
        prefix=f"timing-occlusion-{column}",
        alt="Curve: drop of the predicted class's probability by hidden part",
        bottom=None,
    )


def _rows(figures: Sequence[Figure]) -> list[dict[str, object]]:
    return [
        {
            "figure": "top-1, %" if each.name == "top1" else "divergence, nats",
            "level": each.level,
            "clips": modulation_label(each.variant),
            "value": each.value,
            "low": each.interval[0] if each.interval else None,
            "high": each.interval[1] if each.interval else None,
        }
        for each in figures
    ]


REPORT_SECTION.register(
    Section(
        title="Dependence on time",
        build=_build,
        place=410,
        template=Path(__file__).with_name("templates") / "timing.html",
        evaluators={
            "temporal_dependence": "temporal dependence",
            "reversed_pairs": "reversed pairs of classes",
            "temporal_occlusion": "occlusion over time",
            "occlusion_strips": "occlusion over time, single clips",
        },
    ),
    name=TIMING,
)
