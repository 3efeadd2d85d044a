"""This plugin's part of the page: extent of attention over depth, with each head."""

from __future__ import annotations

from collections.abc import Sequence

from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, RunResults, Section, plots
from pvbias.report.figures import result_of, section_indices
from pvbias.report.section import Content, differences_lead
from pvbias.report.sketches import Range, Row, clips, line
from pvbias.report.tables import figure_table, text_table, title_for

#: Name of the section, and of the evaluator.
EXTENT = "attention_extent"

for _suffix, _title in (
    ("", "temporal extent of attention"),
    ("_first_third", "temporal extent of attention, first third of the layers"),
    ("_last_third", "temporal extent of attention, last third of the layers"),
):
    METRIC.register(
        Metric(
            title=_title,
            headlines=() if _suffix else (Headline(),),
            place=570,
            section=EXTENT,
            pictures={}
            if _suffix
            else {
                "Temporal extent of attention": line(
                    "its own moment", "the clip's ends", Range("0.3", 0.0, 0.3), Range("1: evenly", 0.0, 1.0)
                )
            },
            glossary={}
            if _suffix
            else {
                "Temporal extent of attention": (
                    "Mean distance in time of what a token attends to, divided by that of attention which spreads "
                    "evenly over all it sees. 0: attention stays at its own moment; 1: it does not look at time."
                )
            },
        ),
        name=f"{EXTENT}/relative_extent{_suffix}",
    )
METRIC.register(
    Metric(
        title="position shift",
        headlines=(Headline(),),
        place=571,
        section=EXTENT,
        pictures={
            "Position shift": clips(
                Row("a clip, and its first choice", (0, 1, 2, 3, 4, 5), 0.9),
                Row("the same clip, positions shuffled", (0, 1, 2, 3, 4, 5), 0.5, (2, 0, 3, 1, 3, 0)),
            )
        },
        glossary={
            "Position shift": (
                "How far the prediction moves (KL divergence) when the model's temporal position embeddings change "
                "places and the clip stays as it is. 0: the model does not use them."
            )
        },
    ),
    name=f"{EXTENT}/position_shift",
)
METRIC.register(Metric(title="same class with shuffled positions", section=EXTENT), name=f"{EXTENT}/position_agreement")


def _build(runs: Sequence[RunResults]) -> Content | None:
    found = [(column, run, result_of(run, EXTENT).tables) for column, run in enumerate(runs)]
    found = [(column, run, tables) for column, run, tables in found if tables.get("layers")]
    if not found:
        return None
    lead = (
        "How far attention reaches in time, as a share of what uniform attention does (dashed): lines are layers' "
        "means with intervals, dots are single heads."
    )
    content = Content(lead=lead + differences_lead(runs), figures=figure_table(runs, section_indices(runs, EXTENT)))
    alt = "Line plot: temporal extent of attention relative to uniform attention, of each layer and head"
    with plots.drawing(2.7, EXTENT, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for column, _, tables in found:
            color = plots.COLORS[column % len(plots.COLORS)]
            rows = [row for row in tables["layers"] if row["relative_extent"] is not None]
            depth_of = {row["layer"]: row["depth"] for row in rows}
            dots = [
                (depth_of[head["layer"]], head["extent"] / head["uniform"])
                for head in tables["heads"]
                if head["layer"] in depth_of
            ]
            axes.plot(*zip(*dots, strict=True), ".", color=color, alpha=0.45, markersize=4, markeredgewidth=0)
            depth, values = [row["depth"] for row in rows], [row["relative_extent"] for row in rows]
            if all(row["low"] is not None for row in rows):
                low, high = ([row[end] for row in rows] for end in ("low", "high"))
                axes.fill_between(depth, low, high, color=color, alpha=0.15, lw=0)
            axes.plot(depth, values, color=color, linewidth=1.6)
        axes.axhline(1, color=plots.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        layers = max(len(tables["layers"]) for _, _, tables in found)
        axes.set_xlim(0.2, layers + 0.8)
        axes.set_xticks(range(1, layers + 1, max(1, -(-layers // 12))))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("layer with attention over time, input to output")
        axes.set_ylabel("relative temporal extent")
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid(axis="y")
    content.plots.append(("Temporal extent of attention, each layer and head", result[0]))
    for what in ("layers", "heads"):
        title = f"Temporal extent of {'each layer' if what == 'layers' else 'each head'}"
        content.tables += [text_table(title_for(title, run, runs), tables[what]) for _, run, tables in found]
    return content


REPORT_SECTION.register(
    Section(title="Time in attention", build=_build, place=560, evaluators={EXTENT: "temporal extent of attention"}),
    name=EXTENT,
)
