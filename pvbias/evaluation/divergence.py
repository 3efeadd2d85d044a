"""The Kullback-Leibler divergence between predictions (eq. 3 of the dynamic-score paper)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p || q)`` of each clip, nats, ``(N,)``, from log-probabilities ``(N, K)``; with gradients on both sides.

    The paper's eq. 3 writes ``L(q, p)``: its second argument, under which the expectation is, is the recognizer's
    prediction ``p = f(x)``; its first, ``q``, is the student's, or the prediction on a changed clip::

        L(y~, y^) = sum_i y^_i ln(y^_i / y~_i)
    """
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
