"""Training a recognizer to be independent of a spatial student (ReBias).

H. Bahng et al., *Learning De-biased Representations with Biased Representations*, ICML 2020,
https://arxiv.org/abs/1910.02806. HSIC without bias (HSIC_1 there): L. Song et al., *Feature Selection via Dependence
Maximization*, JMLR 13 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.config.keys import at_least, declare
from pvbias.engine import Objective, Phase, Step, classification
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.models.batch_norm import freeze_running_stats
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE, STUDENT

#: Fewest clips that HSIC can be estimated without bias from.
FEWEST = 4


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys; the defaults are those of the released code."""
    declare(cfg, "REBIAS.WEIGHT", 1.0, "lambda: weight of HSIC in the recognizer's loss.", at_least(0))
    declare(cfg, "REBIAS.STUDENT_WEIGHT", 1.0, "lambda_g: weight of the student's classification loss.", at_least(0))


@OBJECTIVE.register()
class ReBias(Objective):
    """``min_f max_g  L_cls(f) + lambda (HSIC(f, g) - lambda_g L_cls(g))``: the recognizer f independent of what single
    frames tell a spatial student g, which follows it as far as it can.

    Two phases, the second with the student just updated::

        student      lambda_g L_cls(g(x), y) - HSIC(f(x), g(x))      in g's weights, by STUDENT.SOLVER
        recognizer   L_cls(f(x), y) + lambda HSIC(f(x), g(x))        in f's weights

    HSIC is between the recognizer's embeddings and the student's log-probabilities, over a mini-batch (of each
    process), with Gaussian kernels (:func:`gaussian_kernel`). The student is any of the registry, and its
    log-probabilities stand for its features.

    Raises:
        ConfigError: mini-batches of fewer than 4 clips.
    """

    needs = Needs(features=("embedding",))

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.student = STUDENT.get(cfg.STUDENT.NAME)(cfg, recognizer.num_classes)

    def phases(self) -> Sequence[Phase]:
        """The student's phase, then the recognizer's."""
        student, recognizer = {"student": self.student}, {"recognizer": self.base_recognizer}
        return [
            Phase(name="student", modules=student, loss=self._student_loss, solver=self.cfg.STUDENT.SOLVER),
            Phase(name="recognizer", modules=recognizer, loss=self._recognizer_loss, solver=self.cfg.SOLVER),
        ]

    def _student_loss(self, step: Step) -> dict[str, Tensor]:
        log_q = self.student(step.clips)
        terms = classification(log_q, step.labels)
        dependence = hsic(step.outputs.features["embedding"].detach(), log_q)
        loss = self.cfg.REBIAS.STUDENT_WEIGHT * terms["loss"] - dependence
        return {"loss": loss, "classification": terms["loss"], "hsic": dependence, "top1": terms["top1"]}

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        with torch.no_grad(), freeze_running_stats(self.student):  # a given function: it leaves no trace in it
            log_q = self.student(step.clips)
        dependence = hsic(step.outputs.features["embedding"], log_q)
        loss = terms["loss"] + self.cfg.REBIAS.WEIGHT * dependence
        return {"loss": loss, "classification": terms["loss"], "hsic": dependence, "top1": terms["top1"]}


def hsic(x: Tensor, y: Tensor) -> Tensor:
    """Hilbert-Schmidt independence criterion of features ``(m, D)`` and ``(m, E)``, without bias: 0 on average where
    they are independent, in single mini-batches also below it. With the diagonals of the kernels U and V zeroed::

        1 / (m (m - 3)) * (tr(U V) + 1'U1 1'V1 / ((m - 1) (m - 2)) - 2 / (m - 2) 1'U V 1)

    Raises:
        ConfigError: m < 4.
    """
    m = len(x)
    if m < FEWEST:
        raise ConfigError(
            f"HSIC takes mini-batches of {FEWEST} clips or more in each process, and here are {m}: raise "
            "TRAIN.BATCH_SIZE."
        )
    others = 1 - torch.eye(m, device=x.device)
    u, v = gaussian_kernel(x) * others, gaussian_kernel(y) * others
    # Sums of products instead of matrix products, which autocast would take in half precision.
    terms = (u * v).sum() + u.sum() * v.sum() / ((m - 1) * (m - 2)) - 2 / (m - 2) * (u.sum(0) * v.sum(1)).sum()
    return terms / (m * (m - 3))


def gaussian_kernel(x: Tensor) -> Tensor:
    """``exp(-|x_i - x_j|^2 / s)``, ``(m, D) -> (m, m)``, float32; s: the median of the squared distances between
    different clips, held constant (so that the scale of the features is of no account)."""
    distances = (x.float()[:, None] - x.float()[None]).square().sum(2)
    between = distances.detach()[~torch.eye(len(x), dtype=torch.bool, device=x.device)]
    return torch.exp(-distances / between.median().clamp(min=torch.finfo(torch.float32).tiny))
