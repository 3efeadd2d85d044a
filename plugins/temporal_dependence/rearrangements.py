"""Modulations of a clip's timing: cut into segments, a window of it, frames dropped and doubled, speed, occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pvbias.clips import Rearrangement, parameter
from pvbias.errors import ConfigError
from pvbias.registries import MODULATION


@MODULATION.register(name="cut")
@dataclass(frozen=True)
class Cut(Rearrangement):
    """Segments of so many frames in another order, in which none follows the one it followed; frames inside keep
    theirs.

    The cuts are ``length`` apart and begin at a random one of so many places, so that the first and the last segment
    may be shorter. Two frames that are L apart are then separated with the probability ``min(1, L / length)``, wherever
    they are in the clip: what :func:`.extent.temporal_extent` rests on. ``shuffle(segments=...)`` has its cuts at the
    same places in all clips, and may leave neighbours together.
    """

    length: int = parameter(1, "length of a segment", at_least=1)

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        if self.length == 1:
            return "shuffled, no two neighbours left together"
        return f"cut into segments of {self.length} frames in another order"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """A permutation of the frames.

        Raises:
            ConfigError: the clip is no longer than a segment.
        """
        if num_frames <= self.length:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames are cut into segments of fewer frames.")
        generator = torch.Generator().manual_seed(seed)
        first = int(torch.randint(self.length, (), generator=generator)) or self.length
        parts = torch.arange(num_frames).tensor_split(tuple(range(first, num_frames, self.length)))
        while True:  # drawn again, which leaves the others equally likely; more than a third of them will do
            order = torch.randperm(len(parts), generator=generator)
            if not (order.diff() == 1).any():
                return torch.cat([parts[part] for part in order.tolist()])


@MODULATION.register(name="window")
@dataclass(frozen=True)
class Window(Rearrangement):
    """So many consecutive frames from the middle of each clip; its other frames show the nearest of them.

    Fewer frames at the same frame rate, for a network that takes a certain number: less time is seen moving. (Fewer
    frames over the same time: ``subsample``.) ``window(length=1)`` is ``freeze(frame=middle)``.
    """

    length: int = parameter(4, "consecutive frames that are shown", at_least=1)

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        return f"held still but for its {self.length} middle frames"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """4, 4, 4, 4, 4, 5, 5, 5 for two of eight frames.

        Raises:
            ConfigError: the clip has no more frames than are shown.
        """
        if num_frames <= self.length:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames have no more than that to show.")
        first = max(num_frames // 2 - (self.length - 1) // 2, 0)
        return torch.arange(num_frames).clamp(first, first + self.length - 1)


@MODULATION.register(name="drop")
@dataclass(frozen=True)
class Drop(Rearrangement):
    """So many random frames of each clip are missing: those behind come earlier, and the last one is held."""

    count: int = parameter(1, "frames that are missing", at_least=1)

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        return "missing a frame" if self.count == 1 else f"missing {self.count} frames"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 1, 3, 4, 4 where frame 2 of five is missing.

        Raises:
            ConfigError: none of the clip's frames would be left.
        """
        if num_frames <= self.count:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames would have none left.")
        drawn = torch.randperm(num_frames, generator=torch.Generator().manual_seed(seed))
        kept = drawn[self.count :].sort().values
        return torch.cat([kept, kept[-1:].expand(self.count)])


@MODULATION.register(name="double")
@dataclass(frozen=True)
class Double(Rearrangement):
    """So many random frames of each clip are shown twice: those behind come later, and the last ones are lost."""

    count: int = parameter(1, "frames that are shown twice", at_least=1)

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        return "showing a frame twice" if self.count == 1 else f"showing {self.count} frames twice"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 1, 2, 2, 3 where frame 2 of five is shown twice.

        Raises:
            ConfigError: there are not as many frames that stay in the clip.
        """
        shown = num_frames - self.count
        if shown < self.count:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames have no room for as many again.")
        twice = torch.randperm(shown, generator=torch.Generator().manual_seed(seed))[: self.count]
        return torch.cat([torch.arange(shown), twice]).sort().values


@MODULATION.register(name="speed")
@dataclass(frozen=True)
class Speed(Rearrangement):
    """Each clip played faster or slower about its middle, with its own frames.

    Faster: its frames are over before the clip is, and the first and the last one are held. Slower: the middle part,
    frames shown more than once. (Frames from before and behind the clip would have to be decoded: for those measure
    with another ``DATA.SAMPLING_RATE``.)
    """

    factor: float = parameter(2.0, "how many times as fast, above 0", at_least=0.05)

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        return f"played {self.factor:g} times as fast"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 0, 0, 2, 4, 6, 7, 7 for twice the speed of eight frames."""
        middle = (num_frames - 1) / 2
        steps = (torch.arange(num_frames, dtype=torch.float64) - middle) * self.factor
        # The frame that is shown at the time: the last one that has begun. Rounded first: 0.1 * 3 is above 0.3.
        return (middle + steps).mul(1e6).round().div(1e6).floor().long().clamp(0, num_frames - 1)


@MODULATION.register(name="occlude")
@dataclass(frozen=True)
class Occlude(Rearrangement):
    """One of ``parts`` equal parts of each clip is hidden: the frame before it is held (behind the first part: after
    it)."""

    part: int = parameter(0, "number of the hidden part, from 0", at_least=0)
    parts: int = parameter(8, "how many there are", at_least=2)

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.part >= self.parts:
            raise ConfigError(f"occlude: part={self.part} of parts={self.parts}: they are counted from 0.")

    @property
    def label(self) -> str:
        """See :attr:`pvbias.clips.Modulation.label`."""
        return f"without its part {self.part + 1} of {self.parts}"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 1, 1, 1, 4, 5, 6, 7 for the second of four parts of eight frames.

        Raises:
            ConfigError: the clip has fewer frames than there are to be parts.
        """
        if num_frames < self.parts:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames do not have {self.parts} parts.")
        frames = torch.arange(num_frames)
        hidden = frames.tensor_split(self.parts)[self.part]
        held = hidden[0] - 1 if self.part else hidden[-1] + 1
        return torch.where(torch.isin(frames, hidden), held, frames)
