"""The classification loss, and the accuracy that is logged beside it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def classification(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
    """The classification loss and accuracy, ``loss`` and ``top1``, of :class:`.CrossEntropy`.

    Args:
        logits: ``(N, K)``, or log-probabilities, which are logits of themselves.
        labels: ``(N,)`` or ``(N, K)``.
        label_smoothing: s below 1: a target ``q`` becomes ``(1 - s) q + s / K``, below 0, too.
    """
    logits = logits.float()  # autocast leaves them in half precision, too coarse for a log-softmax
    labels = labels if labels.dim() == 1 else labels.to(logits.dtype)
    targets = labels if labels.dim() == 1 else labels.argmax(dim=1)
    top1 = (logits.detach().argmax(dim=1) == targets).float().mean() * 100
    if label_smoothing >= 0:
        return {"loss": F.cross_entropy(logits, labels, label_smoothing=label_smoothing), "top1": top1}
    even = -logits.log_softmax(1).mean()
    return {"loss": (1 - label_smoothing) * F.cross_entropy(logits, labels) + label_smoothing * even, "top1": top1}
