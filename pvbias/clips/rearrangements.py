"""The built-in modulations: frames shuffled, reversed, frozen, subsampled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import ConfigError
from ..registries import MODULATION
from .modulations import ORIGINAL, Rearrangement, parameter

#: Frames of a clip that it can be frozen to.
FREEZE_FRAMES = ("first", "middle", "random")


@MODULATION.register(name=ORIGINAL)
@dataclass(frozen=True)
class Original(Rearrangement):
    """The clips unchanged."""

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 1, ..., T - 1."""
        return torch.arange(num_frames)


@MODULATION.register(name="reverse")
@dataclass(frozen=True)
class Reverse(Rearrangement):
    """The frames of each clip in reversed order."""

    label = "played backwards"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """T - 1, ..., 1, 0."""
        return torch.arange(num_frames).flip(0)


@MODULATION.register(name="shuffle")
@dataclass(frozen=True)
class Shuffle(Rearrangement):
    """The frames, or whole segments, of each clip in an order of its own, uniform over all but the original one.

    A clip of one frame stays as it is.
    """

    segments: int = parameter(
        0, "parts of a clip that change places, the frames inside keep theirs; 0: each frame is one", at_least=0
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.segments == 1:
            raise ConfigError("shuffle: segments must be 0 or at least 2, not 1: a single one cannot change places.")

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return f"cut into {self.segments} shuffled segments" if self.segments else "shuffled"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """A permutation of the frames.

        Raises:
            ConfigError: the clip has fewer frames than there are to be segments.
        """
        if not self.segments:
            return shuffled_order(num_frames, seed)
        if num_frames < self.segments:
            raise ConfigError(f"{self.spec}: clips of {num_frames} frames do not have {self.segments} segments.")
        parts = torch.arange(num_frames).tensor_split(self.segments)  # the first ones are longer by a frame
        return torch.cat([parts[part] for part in shuffled_order(self.segments, seed).tolist()])


@MODULATION.register(name="shuffle_within")
@dataclass(frozen=True)
class ShuffleWithin(Rearrangement):
    """The frames inside each segment of a clip in a random order, uniform over all but the clip's original one.

    What happens when stays the same to within a segment's length; the order from frame to frame does not.
    """

    segments: int = parameter(4, "parts of a clip that keep their places", at_least=2)

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return f"shuffled inside each of {self.segments} segments"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """A permutation of the frames.

        Raises:
            ConfigError: every segment would be one frame, or less.
        """
        if num_frames <= self.segments:
            raise ConfigError(
                f"{self.spec}: clips of {num_frames} frames have nothing to shuffle inside {self.segments} segments: "
                "there have to be fewer segments than frames."
            )
        parts = torch.arange(num_frames).tensor_split(self.segments)
        generator = torch.Generator().manual_seed(seed)
        while True:  # the identity is drawn again, which leaves the others equally likely
            order = torch.cat([part[torch.randperm(len(part), generator=generator)] for part in parts])
            if not torch.equal(order, torch.arange(num_frames)):
                return order


@MODULATION.register(name="freeze")
@dataclass(frozen=True)
class Freeze(Rearrangement):
    """One frame of each clip, repeated."""

    frame: str = parameter("middle", "which one; middle is T // 2, random is drawn uniformly", choices=FREEZE_FRAMES)
    draw: int = parameter(
        0, "number of the random frame; T draws in a row give a clip's T frames, each once", at_least=0
    )

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.draw and self.frame != "random":
            raise ConfigError(f"freeze: draw={self.draw} counts random frames, and frame={self.frame} is none.")

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        if self.frame == "random":
            return "frozen to one of its frames" + (f" (draw {self.draw})" if self.draw else "")
        return f"frozen to its {self.frame} frame"

    def draws(self, count: int) -> tuple[Freeze, ...]:
        """Several draws of a random frame, different frames of a clip as long as it has that many, for a mean over
        frames; the modulation itself where its frame is not random, or a certain draw."""
        if self.frame != "random" or self.draw:
            return (self,)
        return tuple(replace(self, draw=draw) for draw in range(count))

    def order(self, num_frames: int, seed: int) -> Tensor:
        """The frame's number, T times."""
        return torch.full((num_frames,), self._frame_of(num_frames, seed))

    def _frame_of(self, num_frames: int, seed: int) -> int:
        if self.frame != "random":
            return 0 if self.frame == "first" else num_frames // 2
        generator = torch.Generator().manual_seed(seed)
        first = int(torch.randint(num_frames, (), generator=generator))
        later = self.draw % num_frames
        if not later:
            return first
        other = int(torch.randperm(num_frames - 1, generator=generator)[later - 1])
        return other + (other >= first)  # of the frames but the first one drawn


@MODULATION.register(name="subsample")
@dataclass(frozen=True)
class Subsample(Rearrangement):
    """One frame in ``step`` of each clip, each shown until the next: the same time at a lower frame rate."""

    step: int = parameter(2, "frames that one stands for", at_least=2)

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return f"reduced to one frame in {self.step}"

    def order(self, num_frames: int, seed: int) -> Tensor:
        """0, 0, 2, 2, ... for step 2."""
        frames = torch.arange(num_frames)
        return frames - frames % self.step


# With their parameters set, under names of their own, which figures have had from the beginning.
MODULATION.register(Freeze(frame="first"), name="freeze_first")
MODULATION.register(Freeze(frame="middle"), name="freeze_middle")
MODULATION.register(Freeze(frame="random"), name="freeze_random")


def shuffled_order(num_frames: int, seed: int) -> Tensor:
    """A permutation ``(T,)`` of the frames, uniform over all but the identity; the identity only when T is 1.

    A draw that gives the identity is drawn again, which leaves the others equally likely.
    """
    generator = torch.Generator().manual_seed(seed)
    identity = torch.arange(num_frames)
    order = torch.randperm(num_frames, generator=generator)
    while num_frames > 1 and torch.equal(order, identity):
        order = torch.randperm(num_frames, generator=generator)
    return order
