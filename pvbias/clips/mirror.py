"""Clips mirrored left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..registries import MODULATION
from .modulations import Modulation


@MODULATION.register(name="mirror")
@dataclass(frozen=True)
class Mirror(Modulation):
    """Each frame mirrored left to right."""

    of_rgb: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return "mirrored left to right"

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`.Modulation.__call__`."""
        return clips.flip(-1)
