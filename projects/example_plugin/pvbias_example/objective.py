"""An objective: clips that are played backwards should not look the same."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pvbias.clips import Reverse
from pvbias.engine import Objective, Phase, Step, classification
from pvbias.errors import ConfigError
from pvbias.registries import OBJECTIVE


@OBJECTIVE.register()
class ArrowOfTime(Objective):
    """Cross-entropy, and a penalty for predicting the same when a clip is played backwards.

    ::

        loss = L_cls(f(x), y) + EXAMPLE.WEIGHT * sum_k f_k(x) f_k(x reversed)

    with class probabilities f. The sum, in [0, 1], is the probability that a class drawn from either prediction is the
    same. Gradients go through f(x) only. Not for videos whose reversal has the same label. Logged: ``classification``
    (nats), ``agreement`` (the sum's mean over the mini-batch) and ``top1``.

    Raises:
        ConfigError: ``EXAMPLE.WEIGHT`` is negative.
    """

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        if self.cfg.EXAMPLE.WEIGHT < 0:
            raise ConfigError(f"EXAMPLE.WEIGHT = {self.cfg.EXAMPLE.WEIGHT} must be at least 0")
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        # What is constant in a loss goes this way: with f(x)'s dropout, and BatchNorm remembering the real clips alone.
        backwards = step.constant_logits(Reverse()(step.clips, [0] * len(step.clips)))
        probabilities = step.logits.float().softmax(1)
        agreement = (probabilities * backwards.float().softmax(1)).sum(1).mean()
        terms = classification(step.logits, step.labels)
        return {
            "loss": terms["loss"] + self.cfg.EXAMPLE.WEIGHT * agreement,
            "classification": terms["loss"],
            "agreement": agreement,
            "top1": terms["top1"],
        }
