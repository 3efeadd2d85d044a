"""This plugin's part of the page: shares of the two factors and kinds of units over depth, beside ASDT."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, RunResults, Section, plots
from pvbias.report.figures import result_of, section_indices
from pvbias.report.section import Content, differences_lead
from pvbias.report.sketches import Range, Row, clips, line
from pvbias.report.tables import figure_table, text_table, title_for

#: Name of the section, and of the evaluator.
UNITS = "factor_units"

#: Kinds in a stacked bar, from below: the run's colour for dynamic, paler for joint, greys.
_KINDS = {"dynamic": 1.0, "joint": 0.45, "neither": 0.0, "static": -1.0}
_GREYS = {0.0: "#eef1f4", -1.0: "#b3bcc6"}

_GLOSSARY = {
    "Dynamic share": (
        "How much of what a layer's channels say is the same for two clips of one motion in two stylings, beside what "
        "is the same for a clip and its shuffled frames: a softmax of the two, each the mean mutual information over "
        "channels, from their correlation over the pairs of all videos (Kowal et al., “A Deeper Dive Into What Deep "
        "Spatiotemporal Networks Encode”, CVPR 2022). 50 %: as much of one as of the other."
    ),
    "Dynamic, static and joint units": (
        "Channels whose correlation is above 0.5, and above what mispaired clips give by chance, over pairs that share "
        "their motion, over pairs that share their appearance, over both."
    ),
}


_PICTURES = {
    "Dynamic share": clips(
        Row("one motion in two stylings", (0, 1, 2, 3, 4, 5), 0.6, (1,)),
        Row("", (0, 1, 2, 3, 4, 5), 0.6, (2,)),
        Row("one appearance, shuffled", (3, 0, 5, 1, 4, 2), 0.4, (1,)),
    ),
    "Dynamic, static and joint units": line(
        "says the same",
        "of one motion",
        Range("static", 0.0, 0.3),
        Range("joint", 0.4, 0.6),
        Range("dynamic", 0.7, 1.0),
    ),
}


def _register_metrics() -> None:
    thirds = {
        "": "dynamic share",
        "_first_third": "dynamic share, first third of the layers",
        "_last_third": "dynamic share, last third of the layers",
    }
    for suffix, title in thirds.items():
        headlines = () if suffix else (Headline(),)
        glossary, pictures = ({}, {}) if suffix else (_GLOSSARY, _PICTURES)
        metric = Metric(
            title=title, headlines=headlines, place=560, section=UNITS, glossary=glossary, pictures=pictures
        )
        METRIC.register(metric, name=f"{UNITS}/dynamic_share{suffix}")
    for kind in _KINDS:
        words = "units of neither factor" if kind == "neither" else f"{kind} units"
        METRIC.register(Metric(title=words, section=UNITS), name=f"{UNITS}/{kind}_units")


_register_metrics()


def _build(runs: Sequence[RunResults]) -> Content | None:
    layers = [result_of(run, UNITS).tables.get("layers", []) for run in runs]
    if not any(layers):
        return None
    content = Content(
        lead=(
            "What the channels of each layer have in common for two clips of one motion, and for two clips of one "
            "appearance. The grey band is what mispaired clips give by chance." + differences_lead(runs)
        ),
        figures=figure_table(runs, section_indices(runs, UNITS)),
    )
    drawn = [(column, runs[column].name, rows) for column, rows in enumerate(layers) if rows]
    content.plots.append(("Dynamic share of each layer", _shares(drawn)))
    kernels = [(column, name, _asdt_of(runs[column], rows)) for column, name, rows in drawn]
    if any(value is not None for _, _, values in kernels for value in values):
        content.plots.append(("Relative ASDT of the kernels in each layer", _kernels(kernels)))
    for column, name, rows in drawn:
        title = title_for("Kinds of units in each layer", runs[column], runs)
        content.plots.append((title, _kinds(column, name, rows)))
    content.tables = [text_table(title_for("Layers", runs[column], runs), rows) for column, _, rows in drawn]
    return content


def _asdt_of(run: RunResults, rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """Mean relative ASDT of the temporal convolutions inside each layer; None where it has none."""
    kernels = result_of(run, "asdt").tables.get("layers", [])
    found: list[float | None] = []
    for row in rows:
        inside = [each["relative_asdt"] for each in kernels if f"{each['layer']}.".startswith(f"{row['layer']}.")]
        found.append(statistics.fmean(inside) if inside else None)
    return found


def _shares(drawn: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]]) -> str:
    alt = "Line plot: dynamic share of each layer from input to output, with intervals and the band of mispaired clips"
    with plots.drawing(2.7, UNITS, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for column, _, rows in drawn:
            depth = [row["depth"] for row in rows]
            low, share, high = ([row[key] for row in rows] for key in ("low", "dynamic_share", "high"))
            least, most = ([row[f"mispaired_{end}"] for row in rows] for end in ("low", "high"))
            axes.fill_between(depth, least, most, color=plots.MUTED, alpha=0.25, lw=0)
            color = plots.COLORS[column % len(plots.COLORS)]
            axes.fill_between(depth, low, high, color=color, alpha=0.15, lw=0)
            marker = plots.MARKERS[column % len(plots.MARKERS)]
            axes.plot(depth, share, color=color, marker=marker, markersize=4.5, linewidth=1.6, markeredgewidth=0)
        axes.set_ylim(0, 100)
        axes.set_yticks(range(0, 101, 25))
        axes.set_ylabel("dynamic share, %")
        _layer_axis(axes, max(len(rows) for _, _, rows in drawn))
        axes.grid(axis="y")
    return result[0]


def _kernels(kernels: Sequence[tuple[int, str, Sequence[float | None]]]) -> str:
    alt = "Line plot: mean relative ASDT of the temporal kernels inside each layer, from input to output"
    with plots.drawing(2.7, f"{UNITS}-asdt", alt) as (canvas, result):
        axes = canvas.add_subplot()
        for column, _, values in kernels:
            points = [(depth, value) for depth, value in enumerate(values, start=1) if value is not None]
            axes.plot(
                [depth for depth, _ in points],
                [value for _, value in points],
                color=plots.COLORS[column % len(plots.COLORS)],
                marker=plots.MARKERS[column % len(plots.MARKERS)],
                markersize=4.5,
                linewidth=1.6,
                markeredgewidth=0,
            )
        axes.set_ylim(0, 1)
        axes.set_ylabel("relative ASDT")
        _layer_axis(axes, max(len(values) for _, _, values in kernels))
        axes.grid(axis="y")
    return result[0]


def _kinds(column: int, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    alt = f"Stacked bars: shares of dynamic, joint, neither and static units of each layer, {name}"
    with plots.drawing(2.7, f"{UNITS}-kinds-{column}", alt) as (canvas, result):
        axes = canvas.add_subplot()
        for row in rows:
            bottom = 0.0
            for kind, strength in _KINDS.items():
                share = 100 * row[f"{kind}_units"] / row["channels"]
                color = plots.COLORS[column % len(plots.COLORS)] if strength > 0 else _GREYS[strength]
                label = kind if row is rows[0] else None
                alpha = strength if strength > 0 else 1.0
                axes.bar(row["depth"], share, width=0.8, bottom=bottom, color=color, alpha=alpha, lw=0, label=label)
                bottom += share
        axes.set_ylim(0, 100)
        axes.set_yticks(range(0, 101, 25))
        axes.set_ylabel("share of units, %")
        _layer_axis(axes, len(rows))
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return result[0]


def _layer_axis(axes: Any, layers: int) -> None:
    axes.set_xlim(0.2, layers + 0.8)
    axes.set_xticks(range(1, layers + 1, max(1, -(-layers // 12))))
    axes.set_xlabel("layer, input to output")
    axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)


REPORT_SECTION.register(
    Section(title="Static and dynamic units", build=_build, place=550, evaluators={UNITS: "static and dynamic units"}),
    name=UNITS,
)
