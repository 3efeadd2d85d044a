"""Metrics of this plugin's figures: titles, headlines, and their interpretation."""

from __future__ import annotations

from dataclasses import replace

from pvbias.clips import ORIGINAL, Freeze, modulation_label
from pvbias.evaluation.statistics import log_ratio_difference, log_ratio_figure
from pvbias.registries import METRIC
from pvbias.report import TOP1, TOP5, Derived, Headline, Metric, Ranking, Reading, RunResults, find
from pvbias.report.accuracy import guesses, original_accuracy
from pvbias.report.figures import find_headline
from pvbias.report.sketches import Range, Row, clips, line
from pvbias.report.words import RESOLUTION

from .interpretation import BLIND, HALF, LARGE, SLIGHT, read_dynamic_score, read_shuffling

#: Name of the section with everything about predictions without motion.
DYNAMICS = "dynamics"
#: Name of the section about the weights.
LAYERS = "layers"
#: The variant under which a figure compares predictions with a student's.
DISTILL = "distill"

#: Both metrics answer it, the log ratio where it can.
_QUESTION = "uses the order of frames more"


def _read_order(run: RunResults) -> Reading | None:
    original, shuffled = original_accuracy(run), find(run, TOP1, "shuffle")
    if original and shuffled and original.level != shuffled.level:
        shuffled = find(run, TOP1, "shuffle", level=original.level)
    if original is None or shuffled is None:
        return None
    reading = read_shuffling(original, shuffled, find(run, LOG_RATIO, "shuffle"), run.num_classes)
    return replace(reading, topic="The order of frames")


def _read_motion(run: RunResults) -> Reading | None:
    """Interpret the score of frozen clips, or else of shuffled ones."""
    return _read_score(run, DYNAMIC_SCORE, *DYNAMIC_SCORE.headlines)


def _read_distilled(run: RunResults) -> Reading | None:
    """Interpret the score of the student, where there is no other."""
    return None if _read_motion(run) else _read_score(run, DISTILLED_SCORE, *DISTILLED_SCORE.headlines)


def _read_score(run: RunResults, metric: Metric, *headlines: Headline) -> Reading | None:
    for headline in headlines:
        found = find_headline(run, metric, headline)
        if found is not None and found.figure.value is not None:
            score = found.figure
            agreement = find(run, AGREEMENT, score.variant, level=score.level)
            reading = read_dynamic_score(score, agreement, guessing=guesses(run))
            return replace(reading, topic="Predictions without motion")
    return None


def _frozen(variant: str) -> str:
    """Words for a frozen clip: with the frame, where it is not the usual one."""
    return "dynamic score, " + ("frozen" if variant == Freeze().spec else modulation_label(variant))


LOG_RATIO = Metric(
    title="log ratio of accuracies",
    headlines=(Headline(variant="shuffle", title="log ratio, shuffled"),),
    place=200,
    higher_is_better=True,
    ranking=Ranking(question=_QUESTION, answer="uses the order of frames most", variant="shuffle", title="log ratio"),
    read=_read_order,
    section="accuracy",
    resolution=RESOLUTION,
    derived=Derived(
        parts=lambda variant: (("top1", ORIGINAL), ("top1", variant)),
        figure=log_ratio_figure,
        interval=log_ratio_difference,
    ),
    pictures={
        "Log ratio": clips(
            Row("accuracy in order", (0, 1, 2, 3, 4, 5), 0.8), Row("accuracy shuffled", (3, 0, 5, 1, 4, 2), 0.4)
        ),
        "What is usual": line("0", "3", Range("general data sets", 0.04, 0.23), Range("fine-grained ones", 0.43, 0.98)),
    },
    glossary={
        "Log ratio": (
            "ln(accuracy in order ÷ accuracy shuffled): 0 when shuffling costs nothing, "
            f"ln 2 ≈ {HALF:.2f} when half of the accuracy is gone. Below {BLIND} we write “almost blind to the order”, "
            f"from {HALF:.2f} on “leans on the order”; these limits are ours."
        ),
        "What is usual": (
            "Hara, Ishikawa and Kataoka (“Rethinking Training Data …”, Table 1) report 0.12 to 0.68 on general data "
            "sets such as ActivityNet and Kinetics, and 1.29 to 2.95 on fine-grained ones such as Diving48 and "
            "Something-Something. With few classes the ratio stays small, since guessing keeps the shuffled accuracy "
            "up."
        ),
    },
)

DYNAMIC_SCORE = Metric(
    title="dynamic score",
    headlines=(
        Headline(variant="freeze*", title=_frozen),
        Headline(variant="shuffle", title="dynamic score, shuffled"),
    ),
    place=310,
    higher_is_better=True,
    ranking=Ranking(
        question=_QUESTION, answer="changes its predictions most when frames are shuffled", variant="shuffle"
    ),
    read=_read_motion,
    section=DYNAMICS,
    resolution=RESOLUTION,
    pictures={
        "Dynamic score": clips(
            Row("a clip, and its first choice", (0, 1, 2, 3, 4, 5), 0.9), Row("frozen", (3,) * 6, 0.45)
        )
    },
    glossary={
        "Dynamic score": (
            "How far the predicted probabilities move when a clip is frozen to one frame or shuffled (Kullback-Leibler "
            f"divergence, in nats). 0: not at all. {SLIGHT}: like a 90\N{NO-BREAK SPACE}% sure answer falling to "
            f"72\N{NO-BREAK SPACE}%. {LARGE:.0f}: falling to 24\N{NO-BREAK SPACE}%. It needs no labels. It grows with "
            "the length of the clips and with how sure of itself a model is, so it is best compared between models on "
            "the same clips."
        ),
    },
)

DISTILLED_SCORE = Metric(
    title="dynamic score",
    headlines=(Headline(variant=DISTILL, title="dynamic score, distilled"),),
    place=300,
    higher_is_better=True,
    read=_read_distilled,
    section=DYNAMICS,
    resolution=RESOLUTION,
    variants={DISTILL: "best student of single frames"},
    pictures={
        **DYNAMIC_SCORE.pictures,
        "Dynamic score, distilled": clips(
            Row("the model sees a clip", (0, 1, 2, 3, 4, 5), 0.9),
            Row("the student, its frames one by one", (3, 0, 5, 1, 4, 2), 0.4),
        ),
    },
    glossary={
        **DYNAMIC_SCORE.glossary,
        "Dynamic score, distilled": (
            "How far the predictions are, in the same unit, from those of a student that sees single frames and was "
            "trained to say the same. A better student could only come closer, so compare runs with the same student, "
            "trained alike."
        ),
    },
)

#: The share of first choices that stay what they were, or are the student's.
AGREEMENT = Metric(title="same first choice", section=DYNAMICS, variants=DISTILLED_SCORE.variants)

DATASET_BIAS = Metric(
    title="dataset bias",
    headlines=(Headline(title="dataset bias"),),
    place=400,
    section=DYNAMICS,
    pictures={
        "Dataset bias": clips(
            Row("a single frame", (2,)), Row("what it says of the labels", (), 0.7), Row("the labels", (), 1.0)
        )
    },
    glossary={
        "Dataset bias": (
            "How far such a student, trained on the labels, stays behind the labels (cross-entropy, in nats). It says "
            "something of the videos, and nothing of the model. 0: single frames give every label away. The logarithm "
            "of the number of classes: they tell nothing."
        ),
    },
)

STUDENT_TOP1 = Metric(title="top-1 accuracy of the student of single frames", section=DYNAMICS)

FRAME_TOP1 = Metric(title="top-1 accuracy of a linear probe of single frames", section=DYNAMICS)

REPRESENTATION_BIAS = Metric(
    title="representation bias",
    headlines=(Headline(title="representation bias"),),
    place=410,
    section=DYNAMICS,
    pictures={
        "Representation bias": clips(
            Row("chance", (), 0.2), Row("a linear classifier of one frame, right", (2,), 0.8, (1,))
        )
    },
    glossary={
        "Representation bias": (
            "ln(accuracy ÷ chance) of a linear classifier that sees one frame as an image network describes it, in "
            "nats. It says something of the videos, and nothing of the model. 0: a frame tells nothing. The logarithm "
            "of the number of classes: it gives every label away (Li, Li and Vasconcelos, “RESOUND”, ECCV 2018)."
        ),
    },
)

STATIC_INFORMATION = Metric(
    title="information of a frame on the label",
    section=DYNAMICS,
    pictures={
        "Information of a frame": clips(
            Row("the label, by frequency", (), 0.3), Row("the label, having seen a frame", (2,), 0.7, (2,))
        )
    },
    glossary={
        "Information of a frame": (
            "How much more probable a label is to the same classifier than by the classes' frequencies alone, mean of "
            "the logarithm, in nats. As much as this classifier can use; 0 or below: nothing."
        ),
    },
)

for _name, _metric in {
    "modulated_accuracy/top1": TOP1,
    "modulated_accuracy/top5": TOP5,
    "modulated_accuracy/log_ratio": LOG_RATIO,
    "dynamic_score/dynamic_score": DYNAMIC_SCORE,
    "dynamic_score/agreement": AGREEMENT,
    "dynamic_score_distill/dynamic_score": DISTILLED_SCORE,
    "dynamic_score_distill/agreement": AGREEMENT,
    "dataset_bias/dataset_bias": DATASET_BIAS,
    "dataset_bias/student_top1": STUDENT_TOP1,
    "frame_probe/frame_top1": FRAME_TOP1,
    "frame_probe/representation_bias": REPRESENTATION_BIAS,
    "frame_probe/static_information": STATIC_INFORMATION,
}.items():
    METRIC.register(_metric, name=_name)

#: Means over layers, by figure: all of them, and the first and the last third, see
#: :mod:`pvbias.plugins.bias_metrics.kernel_measures`.
KERNEL_METRICS = {
    f"{name}{part}": Metric(title=f"{title}{of_layers}", section=LAYERS)
    for name, title in (
        ("asdt", "ASDT"),
        ("relative_asdt", "Relative ASDT"),
        ("temporal_channels", "temporal channels"),
    )
    for part, of_layers in (
        ("", ""),
        ("_first_third", ", first third of the layers"),
        ("_last_third", ", last third of the layers"),
    )
}

for _name, _metric in KERNEL_METRICS.items():
    _evaluator = "self_convolution" if _name.startswith("temporal_channels") else "asdt"
    METRIC.register(_metric, name=f"{_evaluator}/{_name}")
