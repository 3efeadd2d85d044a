"""The classification loss, and the accuracy that is logged beside it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def classification(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
    """The classification loss and accuracy, ``loss`` and ``top1``, of :class:`.CrossEntropy`.

    Args:
        logits: ``(N, K)``, or log-probabilities, which are logits of themselves.
        labels: ``(N,)`` or ``(N, K)``.
        label_smoothing: in [0, 1).
    """
    logits = logits.float()  # autocast leaves them in half precision, too coarse for a log-softmax
    labels = labels if labels.dim() == 1 else labels.to(logits.dtype)
    targets = labels if labels.dim() == 1 else labels.argmax(dim=1)
    top1 = (logits.detach().argmax(dim=1) == targets).float().mean() * 100
    return {"loss": F.cross_entropy(logits, labels, label_smoothing=label_smoothing), "top1": top1}
