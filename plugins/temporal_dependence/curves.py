"""The curves of temporal dependence: which modulations, for clips of so many frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvbias.clips import ORIGINAL, Freeze, Modulation, Reverse, ShuffleWithin, Subsample
from pvbias.errors import ConfigError, did_you_mean

from .rearrangements import Cut, Double, Drop, Occlude, Speed, Window

#: Each with what its axis counts.
CURVES = {
    "cut": "frames within which order is kept",
    "within": "frames within which order is lost",
    "stride": "stride, frames",
    "frames": "frames that are shown, consecutive",
    "dropped": "dropped frames",
    "doubled": "doubled frames",
    "speed": "playing speed",
    "reverse": "direction",
}

#: About half an octave apart.
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_OCTAVES = (2, 4, 8, 16, 32, 64, 128)
_NUMBERS = (1, 2, 4)
_SPEEDS = (0.5, 1.5, 2.0)

#: Parts of a clip that are hidden, one at a time.
_PARTS = 8


@dataclass(frozen=True)
class Point:
    """A point of a curve: ``at`` on its axis, measured on clips that ``spec`` names."""

    curve: str
    at: float
    spec: str


def curve_points(num_frames: int, curves: Sequence[str]) -> list[Point]:
    """The points of the curves for clips of T frames, each curve with the original clip at its place, from left to
    right.

    Args:
        num_frames: T, at least 2.
        curves: of CURVES.

    Raises:
        ConfigError: there is no such curve.
    """
    found = []
    for curve in dict.fromkeys(curves):
        if curve not in CURVES:
            raise ConfigError(f"BIAS.TEMPORAL_CURVES has {curve!r}. {did_you_mean(curve, CURVES)}")
        original, changed = _modulations(curve, num_frames)
        points = [Point(curve, at, each.spec) for at, each in changed.items()]
        found += sorted([*points, Point(curve, original, ORIGINAL)], key=lambda point: point.at)
    return found


def occlusions(num_frames: int) -> list[Occlude]:
    """Clips of T frames with one of 8 parts hidden, or one frame where there are fewer; none of a single frame."""
    parts = min(_PARTS, num_frames) if num_frames > 1 else 0
    return [Occlude(part=part, parts=parts) for part in range(parts)]


def _modulations(curve: str, num_frames: int) -> tuple[float, dict[float, Modulation]]:
    """The original clip's place on a curve's axis, and modulations by theirs."""
    changed: dict[float, Modulation]
    if curve == "cut":
        # The longest there can be: what relates the ends of a clip is told from what relates less by nothing else.
        lengths = sorted({num_frames - 1, *(k for k in _LENGTHS if k < num_frames)})
        return num_frames, {k: Cut(length=k) for k in lengths}
    if curve == "within":
        return 1, {num_frames / n: ShuffleWithin(segments=n) for n in _OCTAVES if 2 * n <= num_frames}
    if curve == "stride":
        return 1, {step: Subsample(step=step) for step in _OCTAVES if step < num_frames}
    if curve == "frames":
        changed = {1: Freeze(frame="middle")}
        return num_frames, changed | {n: Window(length=n) for n in _OCTAVES if n < num_frames}
    if curve == "dropped":
        return 0, {n: Drop(count=n) for n in _NUMBERS if 2 * n <= num_frames}
    if curve == "doubled":
        return 0, {n: Double(count=n) for n in _NUMBERS if 2 * n <= num_frames}
    if curve == "speed":
        return 1, {factor: Speed(factor=factor) for factor in _SPEEDS}
    return 1, {-1: Reverse()}
