"""Domain-adversarial training with an unlabelled second stream (DANN).

Y. Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17 (2016), https://arxiv.org/abs/1505.07818.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.config.keys import at_least, declare
from pvbias.config.stream_keys import declare_stream
from pvbias.engine import Objective, Phase, Step
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys and its stream of unlabelled clips, ``DATA.STREAMS.target``."""
    declare_stream(cfg, "target", labelled=False)
    declare(cfg, "DANN.GAMMA", 10.0, "How fast the reversed gradient comes in; 0: never.", at_least(0))
    declare(cfg, "DANN.HIDDEN", 1024, "Width of the domain classifier's hidden layers.", at_least(1), unit="features")


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by ``-factor`` (sec. 4.2, eqs. 15 and 16)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


@OBJECTIVE.register()
class Dann(Objective):
    """Cross-entropy on the labelled stream; a classifier of domains that the embedding is trained to defeat::

        loss = L_cls(f(x), y) + L_bce(D(R(e(x))), 0) + L_bce(D(R(e(t))), 1)     (sec. 4.2, eq. 18; means over clips)

    with e the embedding, x clips of the training split, t clips of ``target``, D the domain classifier and R the
    reversal of its gradient by ``lambda_p = 2 / (1 + exp(-DANN.GAMMA p)) - 1`` for the share p of the training that is
    over (sec. 5.2.2). D is a multilayer perceptron with two hidden layers. Logged: ``classification``, ``domain``
    (nats), ``domain_accuracy`` (the mean of both domains'; 0.5 is chance), ``reversal`` (lambda_p) and ``top1``.
    """

    needs = Needs(features=("embedding",), streams=("train", "target"))

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        features, hidden = recognizer.head.weight.shape[1], cfg.DANN.HIDDEN
        layers = [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)]
        self.domain_classifier = nn.Sequential(*layers)

    def phases(self) -> Sequence[Phase]:
        """The one phase: through the reversal, minimising is a minimum for D and a maximum for e."""
        modules = {"recognizer": self.base_recognizer, "domain_classifier": self.domain_classifier}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        reversal = 2 / (1 + math.exp(-self.cfg.DANN.GAMMA * step.epoch / self.cfg.SOLVER.MAX_EPOCH)) - 1
        terms = self.classification(step)
        domain = terms["loss"].new_zeros(())
        accuracies = []
        for number, stream in enumerate(("train", "target")):
            embedding = step.streams[stream].outputs.features["embedding"].float()
            logits = self.domain_classifier(ReversedGradient.apply(embedding, reversal)).squeeze(1)
            domain = domain + F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, number))
            accuracies.append(((logits > 0) == bool(number)).float().mean())
        return {
            "loss": terms["loss"] + domain,
            "classification": terms["loss"],
            "domain": domain,
            "domain_accuracy": torch.stack(accuracies).mean(),
            "reversal": domain.new_tensor(reversal),
            "top1": terms["top1"],
        }
