"""Clips from the beginning of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.registries import SAMPLING


@dataclass(frozen=True)
class Beginning:
    """The first frames of a video, one after the other: a :class:`.SamplingRule`. A shorter one is shown again from its
    beginning.

    Attributes:
        num_frames: T, >= 1.
    """

    num_frames: int

    num_clips: ClassVar[int] = 1
    span: ClassVar[float | None] = None
    center_up: ClassVar[bool] = False

    @property
    def words(self) -> str:
        """See :class:`.SamplingRule`."""
        return f"the first {self.num_frames} frames" if self.num_frames > 1 else "the first frame"

    def test_clips(self, start: float, end: float, timestamps: np.ndarray) -> np.ndarray:
        """See :class:`.SamplingRule`."""
        # The frame that is shown when the part begins, and those that come up in it.
        times = np.concatenate([[start], timestamps[(timestamps > start) & (timestamps < end)]])
        return times[np.arange(self.num_frames) % len(times)][None]

    def random_clip(self, start: float, end: float, rng: np.random.Generator, timestamps: np.ndarray) -> np.ndarray:
        """See :class:`.SamplingRule`."""
        return self.test_clips(start, end, timestamps)[0]


@SAMPLING.register(name="beginning")
def from_the_beginning(cfg: CfgNode) -> Beginning:
    """The first NUM_FRAMES frames of a video; in training, too."""
    return Beginning(cfg.DATA.NUM_FRAMES)
