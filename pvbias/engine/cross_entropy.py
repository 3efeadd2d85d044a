"""The objective of plain training: cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

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
        return self.classification(step)
