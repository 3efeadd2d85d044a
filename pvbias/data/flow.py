"""Optical flow beside a video's frames: the track "flow", or what a clip shows itself.

A flow is a velocity field: where each pixel is heading, in pixels of the size asked for, a second. So it is sampled,
resized, cropped and mirrored like the frames, whatever the frame rate of the video that it was estimated in. A clip's
flow is the velocity times ``1 / DATA.TARGET_FPS``: the way to the next frame where DATA.SAMPLING_RATE is 1.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from fvcore.common.config import CfgNode

from ..errors import ConfigError
from ..registries import TRACK
from ..video.decoding import FileVideo
from ..video.flow_coding import decode_flow, encode_flow, mirror_flow, resize_flow
from ..video.video import ROUNDING, BadVideoError, FrameSize, SharedTimes, Video, frames_shown
from .manifest import FINISHED_FILE, read_finished
from .records import VideoRecord, VideoSource
from .tracks import Track, VideoTrack, read_clip_and_track


class Flow(Protocol):
    """The optical flow of an opened video.

    Attributes:
        timestamps, duration: as in :class:`pvbias.video.Video`.
    """

    @property
    def timestamps(self) -> np.ndarray: ...

    @property
    def duration(self) -> float: ...

    def velocity(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """Velocities of the pixels of the frames shown at ``times``: float32 ``(len(times), height, width, 2)``, to the
        right and down, in pixels of that size a second.

        Raises:
            BadVideoError: it cannot be had.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class FlowSource(Protocol):
    """A source that can open the optical flow of its videos."""

    def open_flow(self, record: VideoRecord) -> Flow:
        """Open the flow of a video.

        Raises:
            BadVideoError: it cannot be had.
        """
        ...


class FlowFile(SharedTimes):
    """A file that ``pvbias flow extract`` wrote; implements :class:`Flow`.

    A video without loss whose frames are vectors as :func:`encode_flow` codes them: the frame at the time of the
    original's frame k has the displacement from there to frame k + 1, in pixels of the file's own size; the last one
    repeats the one before it.

    Args:
        path: the file.

    Raises:
        BadVideoError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._video = FileVideo(path)
        super().__init__(self._video)

    def velocity(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """See :class:`Flow`."""
        vectors = decode_flow(self._video.read(times, lambda height, width: (height, width)))
        intervals = np.diff(self.timestamps)
        if not len(intervals):  # a single frame: nothing moves
            return resize_flow(vectors, *size(*vectors.shape[1:3]))
        needed, place = frames_shown(self.timestamps, times)
        seconds = intervals[np.minimum(needed, len(intervals) - 1)][place]
        vectors /= np.maximum(seconds, ROUNDING).astype(np.float32)[:, None, None, None]
        return resize_flow(vectors, *size(*vectors.shape[1:3]))


class FlowFiles:
    """The files that ``pvbias flow extract`` wrote; implements :class:`FlowSource`.

    Args:
        folder: where to.

    Raises:
        ConfigError: there are none.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(os.path.expanduser(folder))
        self._targets = {file.name: file.target for file in read_finished(self._folder)}
        if not self._targets:
            raise ConfigError(
                f"DATA.FLOW_DIR = {folder!r} holds no optical flow (no {FINISHED_FILE} names any): `pvbias flow "
                f"extract DATA {folder}` makes it."
            )

    def open_flow(self, record: VideoRecord) -> FlowFile:
        """See :class:`FlowSource`."""
        if record.name not in self._targets:
            raise BadVideoError("missing", f"{self._folder} has no optical flow of it: `pvbias flow extract` goes on")
        return FlowFile(str(self._folder / self._targets[record.name]))


class FlowVideos(abc.ABC):
    """Base of sources whose videos are optical flow, coded as frames; implements :class:`pvbias.data.VideoSource`.

    Args:
        source: the videos.
    """

    def __init__(self, source: VideoSource) -> None:
        self._source = source

    @property
    def records(self) -> Sequence[VideoRecord]:
        """The records of the videos."""
        return self._source.records

    @property
    def class_names(self) -> Sequence[str]:
        """The class names of the videos."""
        return self._source.class_names

    @property
    def description(self) -> str:
        """The description of the videos."""
        return f"optical flow of {self._source.description}"

    @abc.abstractmethod
    def open(self, record: VideoRecord) -> Video:
        """Open the flow of a video.

        Raises:
            BadVideoError: it cannot be had.
        """


class FlowClips(FlowVideos):
    """Known flow as the frames of clips: displacements in ``1 / fps`` seconds.

    Args:
        source: the videos; they are not opened.
        flow: knows their flow.
        fps: DATA.TARGET_FPS.
    """

    def __init__(self, source: VideoSource, flow: FlowSource, *, fps: float) -> None:
        super().__init__(source)
        self._flow = flow
        self._fps = fps

    def open(self, record: VideoRecord) -> Video:
        """See :class:`FlowVideos`."""
        return _CodedFlow(self._flow.open_flow(record), fps=self._fps)


class _Displacements(SharedTimes):
    """Flow as displacements in ``1 / fps`` seconds, float32 ``(T, h, w, 2)``."""

    def __init__(self, flow: Flow, *, fps: float) -> None:
        super().__init__(flow)
        self._flow = flow
        self._fps = fps

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        return self._flow.velocity(times, size) / self._fps


class _CodedFlow(_Displacements):
    """Displacements coded as frames, uint8 ``(T, h, w, 3)``."""

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        return encode_flow(super().read(times, size))


class RgbAndFlowClips(FlowVideos):
    """Videos with their flow behind RGB, as further channels of the frames: ``(T, h, w, 3 + 2k)``.

    The frame at time t has the coded displacements (x, y) at t, t + 1 / DATA.TARGET_FPS, ... (k of them), each the way
    that a pixel goes in 1 / DATA.TARGET_FPS seconds: the stacked optical flow of two-stream networks (Simonyan and
    Zisserman 2014, section 3.1, equation 1).

    Args:
        cfg: a completed configuration; k follows from DATA.MEAN.
        source: the videos.

    Raises:
        ConfigError: nothing knows their flow.
    """

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        super().__init__(source)
        self._track = FlowTrack(cfg, source)
        self._ahead = np.arange((len(cfg.DATA.MEAN) - 3) // 2) / cfg.DATA.TARGET_FPS

    @property
    def description(self) -> str:
        """The description of the videos."""
        return f"{self._source.description}, with their optical flow"

    def open(self, record: VideoRecord) -> Video:
        """Open a video with its flow.

        Raises:
            BadVideoError: one of them cannot be had.
        """
        return _RgbAndFlow(self._source.open(record), record, self._track, self._ahead)


class _RgbAndFlow(SharedTimes):
    """A video whose frames have coded flow behind RGB, uint8 ``(T, h, w, 3 + 2k)``."""

    def __init__(self, video: Video, record: VideoRecord, track: Track, ahead: np.ndarray) -> None:
        super().__init__(video)
        self._video, self._record, self._track, self._ahead = video, record, track, ahead

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        moments = (np.asarray(times)[:, None] + self._ahead).ravel()
        frames, flow = read_clip_and_track(self._video, self._record, times, moments.tolist(), size, self._track)
        coded = encode_flow(flow)[..., :2]
        stacked = coded.reshape(len(times), len(self._ahead), *coded.shape[1:])  # (T, k, h, w, 2)
        return np.concatenate([frames, *np.moveaxis(stacked, 1, 0)], axis=3)


def find_flow(cfg: CfgNode, source: VideoSource) -> FlowSource:
    """Find the optical flow of a source's videos: the files in DATA.FLOW_DIR, else the source itself.

    Raises:
        ConfigError: nothing does.
    """
    if cfg.DATA.FLOW_DIR:
        return FlowFiles(cfg.DATA.FLOW_DIR)
    if isinstance(source, FlowSource):
        return source
    raise ConfigError(
        "DATA.FLOW_DIR is empty, and optical flow is needed: `pvbias flow extract DATA OUT` estimates it once; then "
        "set DATA.FLOW_DIR to OUT."
    )


@TRACK.register(name="flow")
class FlowTrack(Track):
    """Optical flow, to the right and down, in pixels in 1 / DATA.TARGET_FPS seconds.

    Raises:
        ConfigError: nothing knows it (:func:`find_flow`).
    """

    title = "optical flow"
    channels = 2
    dtype = np.float16

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        self._flow = find_flow(cfg, source)
        self._fps = cfg.DATA.TARGET_FPS

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`.tracks.Track`."""
        return _Displacements(self._flow.open_flow(record), fps=self._fps)

    def mirror(self, values: np.ndarray) -> np.ndarray:
        """Mirror the fields and negate the horizontal component."""
        return mirror_flow(values)
