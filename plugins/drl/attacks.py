"""Adversarial attacks (FGSM, PGD) on the spatial student."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pvbias.evaluation.divergence import divergence

#: ``clips (N, C, T, H, W) in [0, 1] -> log-probabilities (N, K)``
Student = Callable[[Tensor], Tensor]


def fgsm(student: Student, clips: Tensor, target: Tensor, *, epsilon: float) -> Tensor:
    """The fast gradient sign method (paper, eq. 8): one step of length ``epsilon`` up the divergence between the
    student's prediction and the recognizer's.

    Each value moves by ``epsilon``, or to the border of [0, 1] where that is nearer; where the gradient is exactly zero
    (frames that the student does not see) it stays.

    Args:
        student: what is attacked; the gradient runs through nothing else.
        clips: ``(N, C, T, H, W)`` in [0, 1].
        target: log-probabilities ``(N, K)`` of the recognizer on these clips, without graph.
        epsilon: length of the step, in the units of the clips, >= 0.

    Returns:
        The attacked clips, in [0, 1], without graph.
    """
    return (clips + epsilon * _ascent(student, clips, target)).clamp_(0, 1)


def pgd(student: Student, clips: Tensor, target: Tensor, *, epsilon: float, step_size: float, steps: int) -> Tensor:
    """Projected gradient descent: several FGSM steps, each projected to within ``epsilon`` of the clip and into [0, 1].
    It starts at the clip itself.

    Args:
        student, clips, target, epsilon: as for :func:`fgsm`.
        step_size: length of a step, > 0.
        steps: how many, >= 1.
    """
    low, high = (clips - epsilon).clamp_(0, 1), (clips + epsilon).clamp_(0, 1)
    attacked = clips
    for _ in range(steps):
        attacked = (attacked + step_size * _ascent(student, attacked, target)).clamp_(low, high)
    return attacked


def _ascent(student: Student, clips: Tensor, target: Tensor) -> Tensor:
    """The sign of the divergence's gradient with respect to the clips."""
    with torch.enable_grad():
        clips = clips.detach().requires_grad_()
        # The sum, not the mean, over clips: same sign, and less that half precision takes for zero.
        gradient = torch.autograd.grad(divergence(target, student(clips)).sum(), clips)[0]
    return gradient.sign_()
