"""The contract of spatial students that give features beside their prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..errors import ConfigError
from ..registries import STUDENT
from .outputs import Outputs


@runtime_checkable
class Student(Protocol):
    """A spatial student with features; of an ``nn.Module``, which it is, too, what this is about."""

    @property
    def head(self) -> nn.Module:
        """The final projection, whose input, averaged over positions and frames, is the embedding; its ``weight`` has D
        columns."""

    def __call__(self, clips: Tensor) -> Tensor:
        """Log-probabilities ``(N, K)`` of clips ``(N, C, T, H, W)`` in [0, 1]."""

    def outputs(self, clips: Tensor, features: Sequence[str] = ()) -> Outputs:
        """Log-probabilities and, where asked for, the ``"embedding"`` ``(N, D)`` from one forward."""


def build_student(cfg: CfgNode, num_classes: int) -> nn.Module:
    """Build the student of ``STUDENT``, for an objective that needs its features (:class:`Student`).

    Raises:
        ConfigError: an unknown name, or a student that has none.
    """
    student = STUDENT.get(cfg.STUDENT.NAME)(cfg, num_classes)
    if not isinstance(student, Student):
        raise ConfigError(
            f"STUDENT.NAME = {cfg.STUDENT.NAME!r} gives predictions and no features, which OBJECTIVE.NAME = "
            f"{cfg.OBJECTIVE.NAME!r} needs: give the student `outputs(clips, features)` and `head` "
            "(pvbias.models.Student), as a SpatialStudent has them."
        )
    return cast(nn.Module, student)


def embedding_width(student: nn.Module) -> int:
    """The width D of the embedding of a :class:`Student`, or of a recognizer."""
    return student.head.weight.shape[1]  # type: ignore[union-attr, return-value, index]
