"""The three algorithms of Li and Vasconcelos, *Improving Video Model Transfer with Dynamic Representation Learning*."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import Freeze, Shuffle, view_seeds
from pvbias.engine import Objective, Phase, Step, classification
from pvbias.engine.seeding import draws_apart
from pvbias.evaluation.divergence import divergence
from pvbias.models import Recognizer
from pvbias.models.batch_norm import freeze_running_stats
from pvbias.registries import OBJECTIVE, STUDENT

from .attacks import fgsm, pgd

#: Grey levels between black (0) and white (1).
_GREY_LEVELS = 255


class _Drl(Objective):
    """Base of the algorithms: the recognizer's phase, its classification loss, the weight of the dynamic score."""

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.drl = cfg.DRL

    def phases(self) -> Sequence[Phase]:
        """The recognizer's phase."""
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._recognizer_loss, solver=self.cfg.SOLVER)]

    @abc.abstractmethod
    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]: ...

    def _weight(self, step: Step) -> float:
        """lambda at this point of the training."""
        rise = self.drl.WARMUP_EPOCHS
        return self.drl.LAMBDA * (min(1.0, step.epoch / rise) if rise else 1.0)

    def _more_dynamic(self, step: Step, weight: float, static: Tensor) -> dict[str, Tensor]:
        """``L_cls(f(x), y) - lambda * KL(f(x) || static)``, with gradients through f(x) only (eq. 11, 12).

        Args:
            step: the mini-batch.
            weight: lambda.
            static: log-probabilities ``(N, K)`` without graph.
        """
        terms = self.classification(step)
        log_p = _log_probabilities(step.logits)
        score = divergence(log_p, static).mean()
        return {
            "loss": terms["loss"] - weight * score,
            "classification": terms["loss"],
            "dynamic_score": score,
            "agreement": _agreement(log_p, static),
            "top1": terms["top1"],
        }


class _WithStudent(_Drl):
    """The algorithms that train a spatial student beside the recognizer (eq. 6, 10).

    A step's first phase, ``student``, minimises ``alpha * KL(f(x) || f_s(x)) + (1 - alpha) * L_cls(f_s(x), y)`` in the
    student's weights, with ``STUDENT.SOLVER``. The recognizer's clean forward serves both phases.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.student = STUDENT.get(cfg.STUDENT.NAME)(cfg, recognizer.num_classes)

    def phases(self) -> Sequence[Phase]:
        """The student's phase, then the recognizer's."""
        modules = {"student": self.student}
        student = Phase(name="student", modules=modules, loss=self._student_loss, solver=self.cfg.STUDENT.SOLVER)
        return [student, *super().phases()]

    def _student_loss(self, step: Step) -> dict[str, Tensor]:
        target = _log_probabilities(step.logits.detach())
        with draws_apart(step.clips.device):
            log_q = self.student(step.clips)
        terms = classification(log_q, step.labels)
        distillation = divergence(target, log_q).mean()
        return {
            "loss": self.drl.ALPHA * distillation + (1 - self.drl.ALPHA) * terms["loss"],
            "distillation": distillation,
            "classification": terms["loss"],
            "agreement": _agreement(target, log_q),
            "top1": terms["top1"],
        }

    @contextmanager
    def _constant_student(self, clips: Tensor) -> Iterator[None]:
        """Forwards of the student inside are those of a given function: as it was trained, with the mini-batch's
        statistics, but leaving no trace in it."""
        with draws_apart(clips.device), freeze_running_stats(self.student):
            yield


@OBJECTIVE.register()
class DRLAdversarial(_WithStudent):
    """Algorithm 1 (DRL-adversarial): training on clips that are attacked so that the student fails, beside the original
    ones.

    Second phase, in the recognizer's weights (eq. 7)::

        beta * L_cls(f(x~), y) + (1 - beta) * L_cls(f(x), y)

    with x~ from :func:`.attacks.fgsm` (eq. 8) or :func:`.attacks.pgd` against the student just updated. BatchNorm
    normalises clean and attacked clips each with their own statistics, and remembers those of the clean ones. With
    ``beta = 0`` this is plain cross-entropy training, bit for bit.
    """

    weighs_classification = True

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        clean = self.classification(step)
        beta = self.drl.BETA
        if beta == 0:
            return clean
        attacked = self._attack(step.clips, _log_probabilities(step.logits.detach()))
        with freeze_running_stats(self.base_recognizer):
            terms = self.classification(step, step.recognizer(attacked))
        return {
            "loss": beta * terms["loss"] + (1 - beta) * clean["loss"],
            "classification": clean["loss"],
            "attacked_classification": terms["loss"],
            "top1": clean["top1"],
            "attacked_top1": terms["top1"],
        }

    def _attack(self, clips: Tensor, target: Tensor) -> Tensor:
        epsilon = self.drl.EPSILON / _GREY_LEVELS
        with self._constant_student(clips):
            if self.drl.ATTACK == "fgsm":
                return fgsm(self.student, clips, target, epsilon=epsilon)
            step_size = self.drl.PGD_STEP_SIZE / _GREY_LEVELS
            return pgd(self.student, clips, target, epsilon=epsilon, step_size=step_size, steps=self.drl.PGD_STEPS)


@OBJECTIVE.register()
class DRLDistill(_WithStudent):
    """Algorithm 2 (DRL-distill): the student follows the recognizer, and the recognizer maximises its divergence from
    it.

    Second phase, in the recognizer's weights, with the student just updated (eq. 11)::

        L_cls(f(x), y) - lambda * KL(f(x) || f_s(x))

    Where lambda is 0 this is plain cross-entropy training, bit for bit.
    """

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        weight = self._weight(step)
        if weight == 0:
            return self.classification(step)
        with torch.no_grad(), self._constant_student(step.clips):
            static = self.student(step.clips)
        return self._more_dynamic(step, weight, static)


class _Modulated(_Drl):
    """Algorithm 3, eq. 12: the recognizer on modulated clips takes the student's place.

    f(x~) is a constant in it: psi = theta, but held, with the dropout and the stochastic depth that f(x) has
    (:meth:`.Step.constant_logits`). It normalises with its own mini-batch's statistics where BatchNorm is in training
    mode, and leaves the running ones alone. So the score of a mini-batch of still clips is zero. That of a still clip
    among others is zero only without BatchNorm in training mode: beside it, x holds clips that move, and x~ does not.
    """

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        weight = self._weight(step)
        if weight == 0:
            return self.classification(step)
        # Before the clean forward, whose graph would take its memory meanwhile.
        static = _log_probabilities(self._static_logits(step, self._seeds(step)))
        return self._more_dynamic(step, weight, static)

    @abc.abstractmethod
    def _static_logits(self, step: Step, seeds: Sequence[int]) -> Tensor:
        """The recognizer's logits ``(N, K)`` on the changed clips, without graph."""

    def _seeds(self, step: Step) -> list[int]:
        """One for each clip, the same whichever process has it."""
        purpose = f"drl/{step.epoch:.9f}/"
        return [view_seeds(self.cfg.RNG_SEED, name, 1, purpose=purpose)[0] for name in step.names]


@OBJECTIVE.register()
class DRLFreeze(_Modulated):
    """Algorithm 3 with frozen clips: the recognizer maximises its divergence from its predictions on single frames.

    One phase (eq. 12), with f(x~) held constant::

        L_cls(f(x), y) - lambda * KL(f(x) || f(x~))

    x~: one frame of the clip, repeated; which one is ``DRL.FREEZE_FRAME``. Where lambda is 0 this is plain
    cross-entropy training, bit for bit.
    """

    def _static_logits(self, step: Step, seeds: Sequence[int]) -> Tensor:
        frames = Freeze(frame=self.drl.FREEZE_FRAME).frames(step.clips.shape[2], seeds)
        return step.constant_logits(step.clips, frames=frames[:, 0])


@OBJECTIVE.register()
class DRLShuffle(_Modulated):
    """Algorithm 3 with shuffled clips: the recognizer maximises its divergence from its predictions on frames in
    another order.

    :class:`DRLFreeze` with another x~: the frames of the clip in an order of its own, drawn anew in each step.
    """

    def _static_logits(self, step: Step, seeds: Sequence[int]) -> Tensor:
        return step.constant_logits(Shuffle()(step.clips, seeds))


def _log_probabilities(logits: Tensor) -> Tensor:
    """float32 whatever autocast made of the logits."""
    return logits.float().log_softmax(1)


def _agreement(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Percent of the clips whose most probable class is the same."""
    return (log_p.detach().argmax(1) == log_q.detach().argmax(1)).float().mean() * 100
