"""Training of additional heads on attributes of the videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from ..errors import ConfigError, did_you_mean
from ..models.recognizer import Recognizer
from ..needs import Needs
from ..registries import OBJECTIVE
from ..transfers import to_device
from .objective import Objective, Phase, Step

if TYPE_CHECKING:
    from ..context import Context

#: Of a video that does not have the attribute.
_NONE = -100


@OBJECTIVE.register()
class AttributeHeads(Objective):
    """The classification loss plus the cross-entropy of each further head, all with weight 1::

        loss = CE(logits, label) + sum_h CE(heads[h], class of the video's attribute h)

    Heads are those of ``OBJECTIVE.ATTRIBUTE_HEADS``, else of ``MODEL.EXTRA_HEADS``. The classes of a head are the
    distinct values that the attribute of its name has among the training videos, in sorted order (numbers before
    texts); they stand in :attr:`.Recognizer.head_classes` and in the checkpoints. A head's cross-entropy is the mean
    over the mini-batch's videos that have the attribute, 0 where none has. Another weight: as a term of several,
    ``OBJECTIVE.NAME: [CrossEntropy, AttributeHeads]``, ``OBJECTIVE.WEIGHTS: [1.0, 0.5]``.

    Logged: ``top1`` of the first head, ``<head>_loss`` in nats.

    Raises:
        ConfigError: no head is named, or one that the model does not have, or that learns the labels.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self._heads = list(cfg.OBJECTIVE.ATTRIBUTE_HEADS) or list(recognizer.extra_heads.num_classes)
        if not self._heads:
            raise ConfigError(
                "AttributeHeads trains heads beside the first, and none is named: add one, such as MODEL.EXTRA_HEADS "
                "[scene=10], or name heads that the model has itself in OBJECTIVE.ATTRIBUTE_HEADS."
            )
        sizes = recognizer.head_sizes()
        for head in self._heads:
            _check_head(head, sizes)
        self._sizes = sizes
        self.needs = Needs(attributes=tuple(self._heads), splits=("train",))
        self._numbers: dict[str, dict[Any, int]] = {}

    def prepare(self, context: Context) -> None:
        """Number the values of the training videos' attributes.

        Raises:
            ConfigError: there are more than a head has classes.
        """
        records = context.source("train").records
        for head in self._heads:
            found = {record.attributes[head] for record in records if head in record.attributes}
            values = sorted(found, key=lambda value: (isinstance(value, str), value))
            _check_size(head, values, self._sizes[head], added=head in self.base_recognizer.extra_heads.num_classes)
            self._numbers[head] = {value: number for number, value in enumerate(values)}
            self.base_recognizer.head_classes[head] = tuple(values)

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        losses = {f"{head}_loss": self._head_loss(head, step) for head in self._heads}
        return {**terms, "loss": sum(losses.values(), terms["loss"]), **losses}

    def _head_loss(self, head: str, step: Step) -> Tensor:
        logits = step.outputs.heads[head].float()
        numbers = [self._numbers[head].get(attributes.get(head), _NONE) for attributes in step.attributes]
        targets = to_device(torch.tensor(numbers), logits.device)
        labelled = (targets != _NONE).sum()
        return F.cross_entropy(logits, targets, ignore_index=_NONE, reduction="sum") / labelled.clamp(min=1)


def _check_head(head: str, sizes: Mapping[str, int]) -> None:
    first, *others = sizes
    if head == first:
        raise ConfigError(
            f"OBJECTIVE.ATTRIBUTE_HEADS: {head!r} is the model's first head, which learns the labels. "
            f"The others: {', '.join(others) or 'none'}."
        )
    if head not in sizes:
        hint = did_you_mean(head, others) if others else f"MODEL.EXTRA_HEADS [{head}=CLASSES] adds it."
        raise ConfigError(f"OBJECTIVE.ATTRIBUTE_HEADS: the model has no head {head!r}. {hint}")


def _check_size(head: str, values: Sequence[Any], size: int, *, added: bool) -> None:
    if len(values) <= size:
        return
    shown = ", ".join(map(repr, values[:5])) + (", ..." if len(values) > 5 else "")
    found = f"the training videos' attribute {head!r} has {len(values)} values ({shown})"
    if added:
        raise ConfigError(f"MODEL.EXTRA_HEADS has {head}={size}, and {found}: write {head}={len(values)}.")
    raise ConfigError(f"The model's head {head!r} has {size} classes, and {found}.")
