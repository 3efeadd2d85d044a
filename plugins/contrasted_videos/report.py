"""This plugin's part of the page: a section with the figures of its evaluators."""

from __future__ import annotations

from collections.abc import Sequence

from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, RunResults, Section
from pvbias.report.section import Content, differences_lead, figure_content
from pvbias.report.sketches import Row, clips

#: Name of the section.
CONTRASTED = "contrasted"

#: Name of an accuracy among the figures of this plugin's evaluators.
TOP1 = Metric(title="top-1 accuracy", higher_is_better=True, section=CONTRASTED)

for _evaluator in ("contrasted_accuracy", "human_background", "action_swap", "appearance_free", "style_shift"):
    METRIC.register(TOP1, name=f"{_evaluator}/top1")
METRIC.register(
    Metric(
        title="contrasted accuracy",
        headlines=(Headline(variant="scuba*"),),
        place=150,
        higher_is_better=True,
        section=CONTRASTED,
        pictures={
            "Contrasted accuracy": clips(
                Row("another background, moving: right", (0, 1, 2, 3, 4, 5), 0.9, (1, 1)),
                Row("still: wrong", (2,) * 6, 0.1, (1, 1)),
            )
        },
        glossary={
            "Contrasted accuracy": (
                "Share of videos where the model is right when the actor moves over another background, and wrong when "
                "one frame of that stands still: right because of the motion. 0 for a model that goes by what things "
                "look like (Li et al., “Mitigating and Evaluating Static Bias of Action Representations in the "
                "Background and the Foreground”, ICCV 2023)."
            )
        },
    ),
    name="contrasted_accuracy/contrasted_accuracy",
)

METRIC.register(
    Metric(
        title="background error",
        headlines=(Headline(variant="action_swap*"),),
        place=160,
        higher_is_better=False,
        section=CONTRASTED,
        pictures={
            "Background error": clips(
                Row("the actor's own video", (0, 1, 2, 3, 4, 5), None, (1,)),
                Row("in a video of another class: taken for that", (0, 1, 2, 3, 4, 5), 0.7, (2,)),
            )
        },
        glossary={
            "Background error": (
                "Share of videos whose actor was put into a video of another class, and that are taken for that class: "
                "the background decides (Chung, Wu and Russakovsky, “Enabling Detailed Action Recognition Evaluation "
                "Through Video Dataset Augmentation”, NeurIPS 2022)."
            )
        },
    ),
    name="action_swap/background_error",
)

_LEAD = "Clips in which what things look like says nothing of the class, or the wrong thing."


def _build(runs: Sequence[RunResults]) -> Content | None:
    content = figure_content(
        runs,
        CONTRASTED,
        "top1",
        caption="Top-1 accuracy by kind of clips",
        alt="top-1 accuracy for each kind of clips",
        axis="top-1 accuracy, %",
        prefix=CONTRASTED,
        limit=100,
        chance=[100.0 / run.num_classes for run in runs if run.num_classes],
    )
    if content is not None:
        content.lead = _LEAD + differences_lead(runs)
    return content


REPORT_SECTION.register(
    Section(
        title="Where appearance contradicts",
        build=_build,
        place=350,
        evaluators={
            "contrasted_accuracy": "contrasted accuracy",
            "human_background": "background only and human only",
            "action_swap": "action swap",
            "appearance_free": "appearance-free",
            "style_shift": "other styles",
        },
    ),
    name=CONTRASTED,
)
