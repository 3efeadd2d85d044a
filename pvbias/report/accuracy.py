"""Accuracy: its metrics, its section, and whether a model does better than guessing."""

from __future__ import annotations

from collections.abc import Sequence

from ..clips import ORIGINAL
from ..evaluation.results import Figure
from ..registries import METRIC, REPORT_SECTION
from .figures import find, ordered
from .metric import Headline, Metric
from .results import RunResults
from .section import Content, Section, differences_lead, figure_content

#: Name of the section.
ACCURACY = "accuracy"

TOP1 = Metric(
    title="top-1 accuracy",
    headlines=(Headline(),),
    place=100,
    higher_is_better=True,
    section=ACCURACY,
)
"""An evaluator that measures the accuracy of the whole model registers it for its figure, so that it counts as such."""

#: Accuracy with five guesses, for figures of the whole model.
TOP5 = Metric(title="top-5 accuracy", higher_is_better=True, section=ACCURACY)

METRIC.register(TOP1, name="accuracy/top1")
METRIC.register(TOP5, name="accuracy/top5")

_LEAD = (
    "Each variant takes something away: shuffling and playing backwards keep the frames and change their order, "
    "freezing keeps a single one. What accuracy is left needs none of what was taken."
)


def original_accuracy(run: RunResults) -> Figure | None:
    """Top-1 accuracy on original clips."""
    return find(run, TOP1, ORIGINAL)


def guesses(run: RunResults) -> bool:
    """Whether a run's accuracy is known and not better than chance."""
    original = original_accuracy(run)
    return original is not None and is_guessing(original, run.num_classes)


def is_guessing(original: Figure, num_classes: int) -> bool:
    """Whether an accuracy (in percent) cannot be told from that of guessing."""
    return ends(original)[0] <= 100.0 / num_classes


def ends(figure: Figure) -> tuple[float, float]:
    """The ends of a figure's interval, or its value twice where it has none."""
    assert figure.value is not None
    return figure.interval or (figure.value, figure.value)


def why_no_accuracy(run: RunResults) -> str:
    """Why a run that was to measure its accuracy has none; empty where it has, or was not to."""
    if original_accuracy(run) is not None:
        return ""
    measuring = {name.split("/")[0] for name, metric in METRIC if metric is TOP1}
    reasons = [run.results[name].not_applicable for name in run.results if name in measuring]
    return next(filter(None, reasons), "")


def _accuracy(runs: Sequence[RunResults]) -> Content:
    content = figure_content(
        runs,
        ACCURACY,
        "top1",
        caption="Top-1 accuracy by variant",
        alt="top-1 accuracy for each variant of the clips",
        axis="top-1 accuracy, %",
        prefix="accuracy",
        limit=100,
        chance=[100.0 / run.num_classes for run in runs if run.num_classes],
    )
    if content is None:
        reasons = ordered(filter(None, map(why_no_accuracy, runs)))
        return Content(lead=f"Not measured: {' '.join(reasons) or 'no evaluator for accuracy was asked for.'}")
    content.lead = _LEAD + differences_lead(runs)
    return content


REPORT_SECTION.register(
    Section(title="Accuracy", build=_accuracy, place=100, evaluators={"accuracy": "accuracy"}), name=ACCURACY
)
