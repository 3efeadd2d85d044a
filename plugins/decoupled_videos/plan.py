"""The appearance and motion of each video, with a chosen correlation between the two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd, lcm

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.errors import ConfigError

#: Their positions are the split numbers in the videos' seeds.
SPLITS = ("train", "val", "test")
LABELS = ("joint", "motion", "appearance")
#: How the pen follows a digit: the cheapest walk over its skeleton, or the paper's greedy Algorithm 3.
TRAJECTORIES = ("walk", "greedy")
CONTEXTS = ("balanced", "in", "out", "train")


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The factors of a video.

    Attributes:
        appearance: 0 .. A - 1.
        motion: 0 .. M - 1.
    """

    appearance: int
    motion: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The factors of each video of a split, by index.

    Balanced: both factors cycle, such that any ``A * M`` consecutive videos have each of the ``A * M`` pairs once.

    Tied pairs: appearance and motion agree modulo ``min(A, M)``, so that a motion has one appearance of its own where
    ``A == M``. They are ``1 / min(A, M)`` of all pairs. A training video has, with probability ``rho``, an appearance
    that its motion is tied to, and is as balanced otherwise; so

        P(tied) = rho + (1 - rho) / min(A, M).

    This is the correlation of colour-biased digits, with its zero at independence: where those say "a fraction r of the
    digits has its own colour, the others one of the other colours", ``rho = (r - 1/A) / (1 - 1/A)``; r = 0.1 is
    ``rho = 0`` for ten classes, r = 1 is ``rho = 1``.

    Motions stay balanced by index whatever ``rho`` and ``context``.

    Attributes:
        appearances, motions: A and M, >= 1.
        split: "train", "val" or "test".
        seed: DECOUPLED.SEED.
        videos: how many, >= 1.
        rho: of a training split, [0, 1].
        context: of another split: "balanced"; "in": tied pairs only; "out": all pairs but those, both going through the
            appearances of a motion in turn; "train": tied with probability ``rho``, as a training split.

    Raises:
        ConfigError: a value out of its range, or "out" where every pair is tied (A or M is 1).
    """

    appearances: int
    motions: int
    split: str
    seed: int
    videos: int
    rho: float = 0.0
    context: str = "balanced"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"DECOUPLED.SEED = {self.seed} must be at least 0.")
        if self.videos < 1:
            raise ConfigError(f"DECOUPLED.{self.split.upper()}_VIDEOS = {self.videos} must be at least 1.")
        if not 0 <= self.rho <= 1:
            raise ConfigError(f"DECOUPLED.RHO = {self.rho} must lie in [0, 1].")
        if self.context not in CONTEXTS:
            raise ConfigError(f"DECOUPLED.CONTEXT = {self.context!r} must be one of {', '.join(map(repr, CONTEXTS))}.")
        if self.context == "out" and self.split != "train" and min(self.appearances, self.motions) == 1:
            raise ConfigError(
                f"DECOUPLED.CONTEXT = 'out' leaves no video: with {self.appearances} appearances and {self.motions} "
                "motions every appearance is tied to every motion. Take at least 2 of each."
            )

    @classmethod
    def from_cfg(cls, cfg: CfgNode, split: str, *, appearances: int, motions: int) -> Plan:
        """The plan of the keys under DECOUPLED."""
        keys = cfg.DECOUPLED
        return cls(
            appearances=appearances,
            motions=motions,
            split=split,
            seed=keys.SEED,
            videos=keys[f"{split.upper()}_VIDEOS"],
            rho=keys.RHO,
            context=keys.CONTEXT,
        )

    def __len__(self) -> int:
        """The number of videos."""
        return self.videos

    def __getitem__(self, index: int) -> Factors:
        """The factors of video ``index``, 0 .. videos - 1; the same ones whatever the number of videos."""
        if not 0 <= index < self.videos:
            raise IndexError(index)
        motion = index % self.motions
        if "train" in (self.split, self.context):
            draws = _draws(self)
            if draws is not None and draws[index, 0] < self.rho:
                tied = self._appearances_of(motion, tied=True)
                return Factors(appearance=tied[int(draws[index, 1] * len(tied))], motion=motion)
        elif self.context != "balanced":
            choice = self._appearances_of(motion, tied=self.context == "in")
            return Factors(appearance=choice[index // self.motions % len(choice)], motion=motion)
        # Both indices count up together, and run through the pairs of one remainder modulo their greatest common
        # divisor; then the appearance is shifted by one.
        period = lcm(self.appearances, self.motions)
        shift = index // period % gcd(self.appearances, self.motions)
        return Factors(appearance=(index + shift) % self.appearances, motion=motion)

    def is_tied(self, appearance: int, motion: int) -> bool:
        """Whether the pair is one of the tied ones."""
        return (appearance - motion) % min(self.appearances, self.motions) == 0

    def _appearances_of(self, motion: int, *, tied: bool) -> list[int]:
        around = ((motion + offset) % self.appearances for offset in range(self.appearances))
        return [appearance for appearance in around if self.is_tied(appearance, motion) == tied]

    def rng(self, index: int) -> np.random.Generator:
        """The random generator of everything else about video ``index``."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), index])

    def exchanged_rng(self, index: int, factor: str) -> np.random.Generator:
        """The random generator of what takes the place of the video's "appearance" or "motion"."""
        # A fourth number that is neither 0, as if not written, nor that of the draws of all videos.
        return np.random.default_rng([self.seed, SPLITS.index(self.split), index, 1 + LABELS.index(factor)])


@lru_cache(maxsize=4)
def _draws(plan: Plan) -> np.ndarray | None:
    """Uniform numbers in [0, 1), float64 ``(videos, 2)``: row i is the same whatever the number of videos. None where
    none is needed. Not kept in the plan, which travels to other processes."""
    if plan.rho == 0:
        return None
    # The fourth number, 1, sets it apart from all generators of single videos, where it is 0 as if written.
    return np.random.default_rng([plan.seed, SPLITS.index(plan.split), 0, 1]).random((plan.videos, 2))
