"""The check that a final projection has been trained before its predictions are evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import WeightsError
from ..models import Recognizer
from .loading import LoadReport

_SHOWN = 5

_TRAIN_ONE = "train one for your classes with `pvbias run` (MODEL.FREEZE \"['backbone']\" trains nothing else)"


def refuse_random_head(recognizer: Recognizer, report: LoadReport, predicting: Sequence[str]) -> None:
    """Raise where predictions would be evaluated, and the final projection still has its random weights.

    Args:
        recognizer: the model.
        report: of loading its weights.
        predicting: names of the evaluators that look at predictions.

    Raises:
        WeightsError: saying what to do.
    """
    if report.head_loaded or not predicting:
        return
    reason = report.initialised.get(f"{recognizer.head_name}.weight", "")
    left_over = ", ".join(list(report.skipped)[:_SHOWN])
    if "classes in the file" in reason:
        advice = f"There are {reason}: leave MODEL.NUM_CLASSES out to measure the file's own classes, or {_TRAIN_ONE}."
    elif left_over:
        advice = (
            f"The file has these, which the model does not know: {left_over}. If its head is among them, save the file "
            f"with the names {recognizer.head_name}.weight and .bias; otherwise {_TRAIN_ONE}."
        )
    else:
        advice = f"The file has no head: {_TRAIN_ONE}."
    raise WeightsError(
        f"{report.source!r} fills the backbone, but not the final projection ({recognizer.head_name}), and "
        f"{', '.join(predicting)} would measure the predictions of random weights. {advice} What looks at weights "
        "alone can be measured without a head: name nothing else in BIAS.EVALUATORS, and set TEST.ENABLE False."
    )
