"""Plain training: cross-entropy of the recognizer's logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from ..registries import OBJECTIVE
from .objective import Objective, Phase, Step


@OBJECTIVE.register()
class CrossEntropy(Objective):
    """Mean cross-entropy over the mini-batch, in nats; one phase, ``recognizer``.

    Labels are class indices ``(N,)`` or class probabilities ``(N, K)`` (mixed clips, a teacher's predictions). With
    ``OBJECTIVE.LABEL_SMOOTHING = s`` a target ``q`` becomes ``(1 - s) q + s / K``. Logged beside the loss: ``top1``,
    the percentage of the mini-batch's clips whose likeliest class is right (soft targets: is the target's likeliest).
    """

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        return classification(step.logits, step.labels, label_smoothing=self.cfg.OBJECTIVE.LABEL_SMOOTHING)


def classification(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
    """``loss`` and ``top1`` as :class:`CrossEntropy` defines them.

    Args:
        logits: ``(N, K)``, or log-probabilities, which are logits of themselves.
        labels: ``(N,)`` or ``(N, K)``.
        label_smoothing: in [0, 1).
    """
    logits = logits.float()  # autocast leaves them in half precision, too coarse for a log-softmax
    labels = labels if labels.dim() == 1 else labels.to(logits.dtype)
    targets = labels if labels.dim() == 1 else labels.argmax(dim=1)
    top1 = (logits.detach().argmax(dim=1) == targets).float().mean() * 100
    return {"loss": F.cross_entropy(logits, labels, label_smoothing=label_smoothing), "top1": top1}
