"""Training of a spatial student beforehand: once, kept by fingerprint."""

from __future__ import annotations

from torch import Tensor, nn

from ..context import Context
from ..engine import Step, classification
from ..models import Recognizer
from .fitting import Fitted


def fit_student(
    context: Context, student: nn.Module, recognizer: Recognizer, *, name: str
) -> tuple[Recognizer, Fitted]:
    """Train a student on the training videos with cross-entropy by ``STUDENT.SOLVER``, or find it trained
    (:meth:`.Context.fit`); call in all processes.

    Args:
        student: as built; trained in place, then in evaluation mode on its device.
        recognizer: whose clips and classes it is trained on.
        name: of what it is for.

    Returns:
        The student as a recognizer, whose logits are its log-probabilities, and what is known of its training.
    """
    clip_spec = recognizer.clip_spec.replace(
        mean=(0.0,) * len(recognizer.clip_spec.mean), std=(1.0,) * len(recognizer.clip_spec.std)
    )  # it normalises by itself
    network = Recognizer(student, clip_spec=clip_spec, head="", num_classes=recognizer.num_classes)
    options = {key: value for key, value in context.cfg.STUDENT.items() if key != "SOLVER"}

    def cross_entropy(step: Step) -> dict[str, Tensor]:
        return classification(step.logits, step.labels)

    fitted = context.fit(
        network,
        context.source("train"),
        cross_entropy,
        name=name,
        solver=context.cfg.STUDENT.SOLVER,
        depends_on={"STUDENT": options},
    )
    return network, fitted
