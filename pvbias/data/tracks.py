"""Tracks: what accompanies the frames of a video, such as optical flow or a mask, read, cropped and mirrored with them.

::

    record -> video   -> frames (T, h, w, 3) uint8 --+-> crop, mirror -> clip
           -> track   -> values (T, h, w, D)       --+-> the same crop, mirrored in the track's own way -> its clip
              at the same times, at the size that the frames were read at

An entry of the TRACK registry is built from the configuration and the source of the videos, and opens the track of a
record. An evaluator or an objective asks for tracks by name.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, ClassVar, Protocol

import numpy as np
from fvcore.common.config import CfgNode

from ..clips import ORIGINAL
from ..errors import ConfigError, DataError
from ..registries import TRACK
from ..video.video import BadVideoError, FrameSize, Video
from .records import VideoRecord, VideoSource
from .transforms import MAX_ASPECT

#: A video and its track may differ this much in length and in aspect ratio, as a fraction: the last frame's end is not
#: always known, and sizes are rounded.
_MAX_DIFFERENCE = 0.1


class VideoTrack(Protocol):
    """The opened track of one video.

    Attributes:
        duration: seconds from the first frame to the end of the last.
    """

    @property
    def duration(self) -> float: ...

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """Read the values for the frames that are shown at ``times`` (seconds, any order, repeats allowed), in the
        order asked for: ``(len(times), height, width, D)``.

        Args:
            size: called with the height and width of the track itself; gives those to resize to.

        Raises:
            BadVideoError: they cannot be had.
        """
        ...

    def close(self) -> None: ...


class Track(abc.ABC):
    """Base of tracks, which accompany the videos of a source. TRACK entries are subclasses, called ``Track(cfg,
    source)`` with a completed configuration and a :class:`.VideoSource`.

    It goes to the processes that load videos: it has to be picklable, and of a module that is quickly imported.

    Attributes:
        title: what it is, in words for messages: "optical flow".
        channels: D, values of a pixel.
        dtype: of the values in samples and mini-batches: uint8 or another integer type, which they keep on the device,
            or float16, of which float32 is made there.
        of_its_frames: its values belong to pixels of the video's frames: a track of another length or aspect ratio is
            that of another video, and refused. False: it is something else that is shown beside them.
    """

    title: ClassVar[str]
    of_its_frames: ClassVar[bool] = True
    channels: ClassVar[int] = 1
    dtype: ClassVar[Any] = np.uint8

    @abc.abstractmethod
    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """Open the track of a video.

        Args:
            record: of the video.
            video: opened, for tracks that go by its frames and have no times of their own.

        Raises:
            BadVideoError: it cannot be had.
        """

    def mirror(self, values: np.ndarray) -> np.ndarray:
        """Mirror values ``(T, h, w, D)`` left to right. Where they have a direction, it changes, too."""
        return values[:, :, ::-1]


def build_tracks(cfg: CfgNode, source: VideoSource, names: Sequence[str]) -> dict[str, Track]:
    """Build the tracks of a source, by name in the TRACK registry.

    Raises:
        ConfigError: there is no such track, the source's videos have none, or DATA.MODULATION would change the clips
            and not what accompanies them.
    """
    if names and cfg.DATA.MODULATION != ORIGINAL:
        raise ConfigError(
            f"DATA.MODULATION = {cfg.DATA.MODULATION!r} changes what the clips show, and what accompanies them "
            f"({', '.join(names)}) would no longer be theirs: set it to {ORIGINAL!r}."
        )
    return {name: TRACK.get(name)(cfg, source) for name in names}


def read_clip(
    video: Video, record: VideoRecord, times: Sequence[float], size: FrameSize, tracks: Mapping[str, Track]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the frames of an opened video with its tracks.

    Args:
        video: opened.
        record: of the video.
        times: of the frames, seconds.
        size: of the frames, as for :meth:`.Video.read`.
        tracks: to read, by name.

    Returns:
        The frames, uint8 ``(T, h, w, 3)``; of each track values ``(T, h, w, D)``, not yet of its dtype.

    Raises:
        BadVideoError: one of them cannot be had, or a track is that of another video (in length or aspect ratio).
    """
    frames, own = _read_frames(video, times, size)
    shape = frames.shape[1:3]
    return frames, {name: _read(track, record, video, times, own=own, shape=shape) for name, track in tracks.items()}


def read_clip_and_track(
    video: Video,
    record: VideoRecord,
    times: Sequence[float],
    track_times: Sequence[float],
    size: FrameSize,
    track: Track,
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`read_clip` with one track that is read at times of its own."""
    frames, own = _read_frames(video, times, size)
    return frames, _read(track, record, video, track_times, own=own, shape=frames.shape[1:3])


def _read_frames(video: Video, times: Sequence[float], size: FrameSize) -> tuple[np.ndarray, tuple[int, int]]:
    """Frames ``(T, h, w, 3)``, and the height and width that the video itself has."""
    own: list[tuple[int, int]] = []

    def noted_size(height: int, width: int) -> tuple[int, int]:
        own.append((height, width))
        return size(height, width)

    frames = video.read(times, noted_size)
    height, width = own[0] if own else frames.shape[1:3]
    return frames, (height, width)


def _read(
    track: Track,
    record: VideoRecord,
    video: Video,
    times: Sequence[float],
    *,
    own: tuple[int, int],
    shape: tuple[int, int],
) -> np.ndarray:
    """Values of one track; ``own``: height and width of the video; ``shape``: those that its frames were read at."""

    def same_size(height: int, width: int) -> tuple[int, int]:
        ratios = _aspect(height, width) / _aspect(*own)
        if abs(ratios - 1) > _MAX_DIFFERENCE and track.of_its_frames:
            raise BadVideoError(
                "unreadable",
                f"its frames are {own[1]} x {own[0]} pixels, its {track.title} {width} x {height}: they do not belong "
                "together (where a video is stored turned, its upright frames count)",
            )
        return shape

    with closing(track.open(record, video)) as opened:
        longer = abs(opened.duration - video.duration)
        if longer > _MAX_DIFFERENCE * max(video.duration, 1.0) and track.of_its_frames:
            raise BadVideoError(
                "unreadable",
                f"it lasts {video.duration:.3f} s, its {track.title} {opened.duration:.3f} s: they do not belong "
                "together (folders of images last as long as DATA.TARGET_FPS, or --fps where they were made, says)",
            )
        values = opened.read(times, same_size)
    expected = (len(times), *shape, track.channels)
    if values.shape != expected or not np.can_cast(values.dtype, track.dtype, "same_kind"):  # 0.7 is no uint8
        raise DataError(
            f"{type(track).__name__} read {values.dtype} {values.shape} as the {track.title} of {record.name!r}; "
            f"{np.dtype(track.dtype)} {expected} is what it has to give."
        )
    return values


def _aspect(height: int, width: int) -> float:
    """Width / height, within what frames are squeezed to."""
    return min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
