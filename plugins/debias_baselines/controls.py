"""Controls of debiasing: objectives that make a recognizer surer, and know nothing of motion.

``L_cls - lambda KL(f(x) || f(x~))`` (DRL) is ``L_cls + lambda H(f(x)) + lambda sum_k f_k(x) ln f_k(x~)``: it also pays
for predictions that are sharp, whatever x~ is. What one of these controls gains as well is no gain by motion. (A fourth
one is label smoothing below 0, ``OBJECTIVE.LABEL_SMOOTHING``, for any objective.)
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.distributed import get_rank
from pvbias.engine import Objective, Phase, Step
from pvbias.errors import ConfigError
from pvbias.evaluation.divergence import divergence
from pvbias.models import Recognizer
from pvbias.registries import OBJECTIVE

from .albar import negative_entropy
from .processes import gather


class _Control(Objective):
    """Base of the controls: one phase, of the recognizer."""

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    @abc.abstractmethod
    def _loss(self, step: Step) -> dict[str, Tensor]: ...


@OBJECTIVE.register()
class EntropyPenalty(_Control):
    """``L_cls(f(x), y) + ENTROPY_PENALTY.WEIGHT H(f(x))``, the entropy in nats: the part of DRL's loss without x~.

    With a weight below 0 it is the confidence penalty of G. Pereyra et al., *Regularizing Neural Networks by Penalizing
    Confident Output Distributions*, 2017, https://arxiv.org/abs/1701.06548.

    Logged: ``classification``, ``entropy`` and ``top1``.
    """

    def _loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        entropy = -negative_entropy(step.logits.float())
        loss = terms["loss"] + self.cfg.ENTROPY_PENALTY.WEIGHT * entropy
        return {"loss": loss, "classification": terms["loss"], "entropy": entropy, "top1": terms["top1"]}


@OBJECTIVE.register()
class TemperedCrossEntropy(_Control):
    """``L_cls(f(x) / TEMPERED.TEMPERATURE, y)``, f the logits: trained above 1, predictions are sharper when tested at
    1."""

    weighs_classification = True

    def _loss(self, step: Step) -> dict[str, Tensor]:
        return self.classification(step, step.logits.float() / self.cfg.TEMPERED.TEMPERATURE)


@OBJECTIVE.register()
class OtherClipDivergence(_Control):
    """``L_cls(f(x), y) - OTHER_CLIP.LAMBDA KL(f(x) || f(x'))``, with f(x') held constant: DRL's loss with another clip
    in place of x~.

    x' is the clip before x in the mini-batch of all processes, the last one before the first, of whatever class. The
    prediction on it is there already: nothing else goes through the network.

    Logged: ``classification``, ``divergence`` and ``top1``.

    Raises:
        ConfigError: mini-batches of one clip, which would be the other clip itself: the divergence would always be 0.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        if cfg.TRAIN.BATCH_SIZE < 2:
            raise ConfigError(
                f"TRAIN.BATCH_SIZE = {cfg.TRAIN.BATCH_SIZE}: OtherClipDivergence compares each clip with another one "
                "of the mini-batch. Take at least 2."
            )

    def _loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        log_p = step.logits.float().log_softmax(1)
        first = get_rank() * len(log_p)
        other = gather(log_p.detach()).roll(1, 0)[first : first + len(log_p)]
        distance = divergence(log_p, other).mean()
        loss = terms["loss"] - self.cfg.OTHER_CLIP.LAMBDA * distance
        return {"loss": loss, "classification": terms["loss"], "divergence": distance, "top1": terms["top1"]}
