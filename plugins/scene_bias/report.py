"""This plugin's part of the page: metrics, and a section with the curve of common places and their histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, RunResults, Section, plots
from pvbias.report.figures import result_of, section_indices
from pvbias.report.section import Content, differences_lead
from pvbias.report.sketches import Row, clips
from pvbias.report.tables import figure_table, text_table, title_for

#: Name of the section.
SCENES = "scenes"

#: Bars of the histogram.
_BARS = 16

_TITLES = {
    "classes": "What each class says of the place",
    "places": "Places",
    "information": "Mutual information of place and label",
    "classifier": "Where places come from",
    "probes": "Linear probes of scenes on still clips",
}

METRIC.register(
    Metric(
        title="common-place score",
        section=SCENES,
        pictures={
            "Common-place score": clips(
                Row("its most frequent place: 4 of 6 frames", (0, 1, 2, 3, 4, 5), 0.67, (1, 1, 2, 1, 1, 3))
            )
        },
        glossary={
            "Common-place score": (
                "Share of a video's frames that show its most frequent place, as a classifier of scenes sees it. The "
                "temporality paper has 25 % or more for 80 % of Kinetics' videos (Figure A.12)."
            )
        },
    ),
    name="scene_bias/common_place_score",
)
METRIC.register(
    Metric(title="videos with a quarter of their frames in one place", section=SCENES), name="scene_bias/quarter"
)
METRIC.register(Metric(title="places that occur", section=SCENES), name="scene_bias/places")
METRIC.register(
    Metric(
        title="places that half of the videos are in",
        section=SCENES,
        pictures={
            "Places of half of the videos": clips(
                Row("a common place: half of the videos", (), 0.5), Row("another", (), 0.2), Row("rare ones", (), 0.05)
            )
        },
        glossary={
            "Places of half of the videos": "The fewest places that have half of the videos (Kinetics: 16 of 365)."
        },
    ),
    name="scene_bias/places_of_half",
)
METRIC.register(Metric(title="top-1 accuracy by place", higher_is_better=True, section=SCENES), name="scene_bias/top1")
METRIC.register(
    Metric(
        title="top-1 accuracy, rare less common places",
        section=SCENES,
        pictures={
            "Rare less common places": clips(
                Row("in a rare place", (0, 1, 2, 3, 4, 5), 0.63, (3,)),
                Row("in a common place", (0, 1, 2, 3, 4, 5), 0.56, (1,)),
            )
        },
        glossary={
            "Rare less common places": (
                "Accuracy on videos of rare places less that on videos of the commonest ones. Above 0: places that few "
                "classes share give the class away (I3D on Kinetics: +6.9 points, Table A.3)."
            )
        },
    ),
    name="scene_bias/top1_difference",
)
METRIC.register(
    Metric(
        title="place information",
        headlines=(Headline(title="place information"),),
        place=410,
        section=SCENES,
        pictures={
            "Place information": clips(
                Row("all videos of a class", (0, 1, 2, 3, 4, 5), None, (1,)),
                Row("all of another: the place says it", (0, 1, 2, 3, 4, 5), None, (2,)),
            )
        },
        glossary={
            "Place information": (
                "Mutual information of a video's place and its label, in nats: what knowing the place says of the "
                "class. 0: nothing; the entropy of the labels (the logarithm of the number of classes, where they are "
                "equally frequent): all. It is of the videos, and of no model. What chance alone gives in so few "
                "videos is taken away, so that it may come out a little below 0."
            )
        },
    ),
    name="scene_bias/place_information",
)
METRIC.register(Metric(title="label explained by the place", section=SCENES), name="scene_bias/label_explained")
METRIC.register(
    Metric(
        title="accuracy of scenes, linear probe on still clips",
        section=SCENES,
        variants={"recognizer": "features of the model", "image network": "features of the image network"},
        pictures={"Accuracy of scenes": clips(Row("a still clip: which place?", (2,) * 6, 0.42, (3,)))},
        glossary={
            "Accuracy of scenes": (
                "Share of still images, shown as clips, whose place a linear classifier of the network's features "
                "names. The temporality paper has 41.2 % for I3D and 43.3 % for an image network on Places365 "
                "(Table A.4): what was learnt of actions knows scenes nearly as well."
            )
        },
    ),
    name="scene_probe/scene_top1",
)
METRIC.register(
    Metric(title="accuracy of scenes, model less image network", section=SCENES),
    name="scene_probe/scene_top1_difference",
)


def _build(runs: Sequence[RunResults]) -> Content | None:
    figures = figure_table(runs, section_indices(runs, SCENES))
    tables = [result_of(run, "scene_bias").tables | result_of(run, "scene_probe").tables for run in runs]
    if not figures.blocks:
        return None
    content = Content(figures=figures)
    content.lead = (
        "Where videos are filmed, what that says of their label, and whether a model is right more often where few "
        "classes share a place." + differences_lead(runs)
    )
    curves = [own.get("common_place_curve", []) for own in tables]
    if any(curves):
        content.plots.append(("Videos whose most frequent place has so many of their frames", _curve(runs, curves)))
    places = next((own["places"] for own in tables if own.get("places")), [])
    if places:
        content.plots.append(("Places of the videos, the commonest first", _histogram(places)))
    content.tables = [
        text_table(title_for(title, run, runs), own[name])
        for name, title in _TITLES.items()
        for run, own in zip(runs, tables, strict=True)
        if own.get(name)
    ]
    return content


def _curve(runs: Sequence[RunResults], curves: Sequence[Sequence[dict[str, Any]]]) -> str:
    """The paper's Figure A.12."""
    with plots.drawing(2.7, f"{SCENES}-curve", "Curve: share of videos by common-place score") as (canvas, result):
        axes = canvas.add_subplot()
        for number, (run, rows) in enumerate(zip(runs, curves, strict=True)):
            if rows:
                axes.plot(
                    [100 * row["score"] for row in rows],
                    [row["videos"] for row in rows],
                    color=plots.COLORS[number % len(plots.COLORS)],
                    linewidth=1.5,
                    label=plots.short(run.name, 30),
                )
        axes.plot([25], [80], "x", color=plots.MUTED, markersize=5)
        axes.annotate("Kinetics", (25, 80), xytext=(5, 3), textcoords="offset points", color=plots.MUTED, fontsize=8)
        axes.set(xlim=(0, 100), ylim=(0, 103), xlabel="common-place score, % of frames, or more", ylabel="videos, %")
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid()
        if sum(map(bool, curves)) > 1:
            axes.legend(frameon=False, fontsize=8)
    return result[0]


def _histogram(places: Sequence[dict[str, Any]]) -> str:
    shown = [(row["place"], row["share"], row["videos"]) for row in places[:_BARS]]
    others = places[_BARS:]
    if others:
        shown.append(
            (f"{len(others)} others", sum(row["share"] for row in others), sum(row["videos"] for row in others))
        )
    values = [plots.Value(share, text=f"{share:.1f} % ({videos})") for _, share, videos in shown]
    return plots.interval_bars(
        [place for place, _, _ in shown],
        [plots.Series(0, "", values)],
        axis="videos, %",
        prefix=f"{SCENES}-places",
        alt="Bar chart: share of videos in each place",
    )


REPORT_SECTION.register(
    Section(
        title="Scenes",
        build=_build,
        place=450,
        evaluators={"scene_bias": "scene bias", "scene_probe": "linear probe of scenes"},
    ),
    name=SCENES,
)
