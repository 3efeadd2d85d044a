"""Videos with one factor exchanged: the same motion of another appearance, the same appearance on another way.

Exact pairs for measures that ask what two clips have in common: what is exchanged is drawn anew, independently of the
video, uniformly over all classes (its own among them, by another image or digit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import TrackModulation
from pvbias.data import Track, VideoRecord, VideoSource
from pvbias.data.tracks import VideoTrack
from pvbias.errors import ConfigError
from pvbias.registries import MODULATION, TRACK
from pvbias.video import Video


class FactorSource(Protocol):
    """A source of videos that can exchange a factor of each."""

    def open_exchanged(self, record: VideoRecord, factor: str) -> Video:
        """Open a video with its ``appearance`` or its ``motion`` drawn anew."""
        ...


class _OtherFactor(Track):
    """Base of tracks of the same video with one factor exchanged: RGB."""

    channels = 3
    factor: ClassVar[str]

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        if not hasattr(source, "open_exchanged"):
            raise ConfigError(
                f"{self.title} is known of generated videos only (brush_mnist, places_faces_mnist), and the videos are "
                f"{source.description}."
            )
        self._source = source

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`pvbias.data.Track`."""
        return self._source.open_exchanged(record, self.factor)  # type: ignore[attr-defined]


@TRACK.register(name="same_motion")
class OtherAppearance(_OtherFactor):
    """The video's motion with another appearance."""

    title, factor = "its motion with another appearance", "appearance"


@TRACK.register(name="same_appearance")
class OtherMotion(_OtherFactor):
    """The video's appearance with another motion."""

    title, factor = "its appearance with another motion", "motion"


@dataclass(frozen=True)
class _Exchanged(TrackModulation):
    """Base of modulations whose clips are those of a track."""

    of_rgb = True

    @property
    def tracks(self) -> tuple[str, ...]:
        """The track of its own name."""
        return (self.spec,)

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """The clips of the track."""
        return tracks[self.spec].to(clips.dtype)


@MODULATION.register(name="same_motion")
@dataclass(frozen=True)
class SameMotion(_Exchanged):
    """The same motion with another appearance: of generated videos (brush_mnist, places_faces_mnist)."""

    label = "of the same motion and another appearance"


@MODULATION.register(name="same_appearance")
@dataclass(frozen=True)
class SameAppearance(_Exchanged):
    """The same appearance with another motion: of generated videos (brush_mnist, places_faces_mnist)."""

    label = "of the same appearance and another motion"
