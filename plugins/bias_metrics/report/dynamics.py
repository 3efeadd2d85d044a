"""The section of dynamic scores (distilled, frozen, shuffled), of agreement, and of dataset bias."""

from __future__ import annotations

from collections.abc import Sequence

from pvbias.registries import REPORT_SECTION
from pvbias.report import Content, RunResults, Section
from pvbias.report.figures import measured_metrics, result_of
from pvbias.report.section import differences_lead, figure_content
from pvbias.report.tables import text_table, title_for

from .headlines import DATASET_BIAS, DISTILLED_SCORE, DYNAMICS, REPRESENTATION_BIAS
from .interpretation import SLIGHT

#: Those that train a student, with their names in words.
_STUDENTS = {"dynamic_score_distill": "dynamic score, distilled", "dataset_bias": "dataset bias"}

_PROBE_TABLES = {
    "frame_probe_classes": "Classes: what a single frame tells",
    "frame_probe": "Linear probe of single frames",
}


def _dynamics(runs: Sequence[RunResults]) -> Content | None:
    """Figures and bars, and how the students were trained."""
    content = figure_content(
        runs,
        DYNAMICS,
        "dynamic_score",
        caption="Dynamic score",
        alt="dynamic score",
        axis="dynamic score, nats",
        least=SLIGHT,
        prefix="dynamic",
    )
    if content is None:
        return None
    measured = measured_metrics(runs)
    if DATASET_BIAS in measured or REPRESENTATION_BIAS in measured:
        content.title = "Dynamic score and dataset bias"
    student = (
        ", and how far they are from what the best student of single frames says of the same clips"
        if DISTILLED_SCORE in measured
        else ""
    )
    content.lead = (
        f"How far predictions move when motion is taken away{student}, whether they are right or wrong. “Same first "
        "choice” is the share of videos (clips) whose most likely class stays what it was."
    ) + differences_lead(runs)
    content.tables = [
        text_table(title_for(f"Training of the student, {title}", run, runs), rows)
        for evaluator, title in _STUDENTS.items()
        for run in runs
        if (rows := result_of(run, evaluator).tables.get("student_training"))
    ] + [
        text_table(title_for(title, run, runs), rows)
        for name, title in _PROBE_TABLES.items()
        for run in runs
        if (rows := result_of(run, "frame_probe").tables.get(name))
    ]
    return content


REPORT_SECTION.register(
    Section(
        title="Dynamic score",
        build=_dynamics,
        place=400,
        evaluators={
            "dynamic_score_distill": _STUDENTS["dynamic_score_distill"],
            "dynamic_score": "dynamic score",
            "dataset_bias": _STUDENTS["dataset_bias"],
            "frame_probe": "linear probe of single frames",
        },
    ),
    name=DYNAMICS,
)
