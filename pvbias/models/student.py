"""The contract of spatial students that give features beside their prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..clips import ClipSpec
from ..errors import ConfigError
from ..registries import STUDENT
from .outputs import Outputs
from .recognizer import Recognizer


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


def student_recognizer(cfg: CfgNode, clip_spec: ClipSpec, num_classes: int) -> Recognizer:
    """The student of ``STUDENT`` as a recognizer of the same clips, which normalises by itself; where the student has
    features, with its embedding.

    Its random weights, where it starts from such, depend on ``RNG_SEED`` alone, and no other draw on them.

    Args:
        cfg: completed configuration.
        clip_spec: of the clips that it is shown.
        num_classes: K.

    Raises:
        ConfigError: an unknown name.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(cfg.RNG_SEED)
        student = STUDENT.get(cfg.STUDENT.NAME)(cfg, num_classes)
    head = ""
    if isinstance(student, Student):
        head = next(name for name, module in student.named_modules() if module is student.head)  # type: ignore[attr-defined]
    clip_spec = clip_spec.replace(mean=(0.0,) * 3, std=(1.0,) * 3)
    return Recognizer(student, clip_spec=clip_spec, head=head, num_classes=num_classes)


def embedding_width(student: nn.Module) -> int:
    """The width D of the embedding of a :class:`Student`, or of a recognizer."""
    return student.head.weight.shape[1]  # type: ignore[union-attr, return-value, index]
