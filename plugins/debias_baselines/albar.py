"""ALBAR: adversarial training against what a single frame, shown for the whole clip, gives away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pvbias.clips import Freeze, view_seeds
from pvbias.distributed import get_world_size
from pvbias.engine import Objective, Phase, Step, classification
from pvbias.errors import ConfigError
from pvbias.layers import differentiable_twice
from pvbias.models import Recognizer
from pvbias.models.batch_norm import freeze_running_stats
from pvbias.registries import OBJECTIVE

#: Under the root of the norm, as in the released code: the root of 0 has no gradient.
_EPSILON = 1e-12


def _norm_of_columns(gradient: Tensor) -> Tensor:
    return (gradient.square().sum((1, 2, 3)) + _EPSILON).sqrt().mean()


def _norm_of_clips(gradient: Tensor) -> Tensor:
    return (gradient.square().sum((1, 2, 3, 4)) + _EPSILON).sqrt().mean()


#: Of gradients ``(N, C, T, H, W)``, by the value of ``ALBAR.PENALTY_NORM``.
PENALTY_NORMS: Mapping[str, Callable[[Tensor], Tensor]] = {"columns": _norm_of_columns, "clips": _norm_of_clips}


@OBJECTIVE.register()
class ALBAR(Objective):
    """The recognizer is to fail on still clips of its videos, and to be unsure there.

    J. Fioresi, I. R. Dave, M. Shah, *ALBAR: Adversarial Learning approach to mitigate Biases in Action Recognition*,
    ICLR 2025, https://arxiv.org/abs/2502.00156. One phase::

        L_cls(f(x), y) - w_s L_cls(f(x~), y) + w_e sum_k p~_k ln p~_k + w_g |d sum_k f_k(x~) / d x~|

    with f logits, x~ one frame of the clip, repeated (``ALBAR.FRAME``), and p~ = softmax(f(x~)); means over clips. The
    gradient runs through f(x~), too. Weights are those released for HMDB51, 1, 4.25 and 10.

    The gradient is that with respect to the *normalised* clip, by all T frames of it, and what is differentiated is the
    sum of all logits. The released code (UCF-CRCV/ALBAR, ``entropy_loss.py``) takes the root of the sum of squares over
    dimensions 1, 2 and 3 of a gradient that has five: the norm of each column of pixels (channels, frames, rows), whose
    mean over columns and clips is the penalty. The weight 10 belongs to that, and so ``ALBAR.PENALTY_NORM`` is
    ``columns``; ``clips`` is the L2 norm of a clip's whole gradient, about the root of the crop's width times as large
    (take the weight as much smaller). The released code repeats the middle frame (of HMDB51), leaves the adversarial
    loss without a bound as here, and lets still clips into BatchNorm's running statistics, if there are any; here they
    are normalised by their own statistics and leave no trace.

    Second derivatives: on a GPU layers compute x~ by torch's own kernels, attention by its definition. Where all three
    weights are 0 this is plain cross-entropy training, bit for bit.

    Logged: ``classification``, ``still_classification``, ``still_top1``, ``negative_entropy`` (nats; -ln K where a
    still clip could be anything), ``gradient_penalty`` and ``top1``.

    Raises:
        ConfigError: a penalty with BatchNorm synchronised over several processes, which has no second derivative.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.albar = cfg.ALBAR
        if self.albar.PENALTY_WEIGHT and cfg.BN.NORM_TYPE == "sync_batchnorm" and get_world_size() > 1:
            raise ConfigError(
                f"BN.NORM_TYPE = 'sync_batchnorm' with ALBAR.PENALTY_WEIGHT = {self.albar.PENALTY_WEIGHT}: BatchNorm "
                "over several processes has no second derivative. Set BN.NORM_TYPE to 'batchnorm'."
            )

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        keys, clean = self.albar, self.classification(step)
        if not (keys.STILL_WEIGHT or keys.ENTROPY_WEIGHT or keys.PENALTY_WEIGHT):
            return clean
        still = self._still_clips(step).requires_grad_(bool(keys.PENALTY_WEIGHT))
        recognizer = self.base_recognizer
        with freeze_running_stats(recognizer), differentiable_twice(recognizer), sdpa_kernel(SDPBackend.MATH):
            logits = step.recognizer(still).float()
        terms = classification(logits, step.labels)
        entropy = negative_entropy(logits)
        loss = clean["loss"] - keys.STILL_WEIGHT * terms["loss"] + keys.ENTROPY_WEIGHT * entropy
        logged = {
            "classification": clean["loss"],
            "still_classification": terms["loss"],
            "still_top1": terms["top1"],
            "negative_entropy": entropy,
            "top1": clean["top1"],
        }
        if keys.PENALTY_WEIGHT:
            penalty = gradient_penalty(logits, still, recognizer.std, PENALTY_NORMS[keys.PENALTY_NORM])
            loss = loss + keys.PENALTY_WEIGHT * penalty
            logged["gradient_penalty"] = penalty
        return {"loss": loss, **logged}

    def _still_clips(self, step: Step) -> Tensor:
        """One frame of each clip, repeated, ``(N, C, T, H, W)``, the same whichever process has it."""
        purpose = f"albar/{step.epoch:.9f}/"
        seeds = [view_seeds(self.cfg.RNG_SEED, name, 1, purpose=purpose)[0] for name in step.names]
        return Freeze(frame=self.albar.FRAME)(step.clips, seeds).detach()


def negative_entropy(logits: Tensor) -> Tensor:
    """The mean of ``sum_k p_k ln p_k`` over clips, nats; logits ``(N, K)``."""
    log_p = logits.log_softmax(1)
    return (log_p.exp() * log_p).sum(1).mean()


def gradient_penalty(logits: Tensor, clips: Tensor, std: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """The norm of the gradient of the sum of logits with respect to the normalised clips, with graph.

    Args:
        logits: ``(N, K)``.
        clips: ``(N, C, T, H, W)`` in [0, 1], which they were computed from.
        std: the normalisation's, ``(1, C, 1, 1, 1)``: what a step in the normalised clip is in the clip.
        norm: of :data:`PENALTY_NORMS`.
    """
    with torch.autocast(clips.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(logits.sum(), clips, create_graph=True)
        return norm(gradient * std)
