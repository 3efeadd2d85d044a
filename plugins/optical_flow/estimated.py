"""Estimated optical flow as a source of videos, so that it is written like any other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from pvbias.data import VideoRecord, VideoSource
from pvbias.data.flow import FlowVideos
from pvbias.data.lookup import find_missing
from pvbias.video import Video
from pvbias.video.flow_coding import BOUND, encode_flow
from pvbias.video.video import BadVideoError, FrameSize, SharedTimes, frames_shown, in_order

#: ``estimator(first, second)``; see :data:`pvbias.registries.FLOW`.
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Sides of the smallest frames in which flow is looked for, pixels.
SMALLEST = 16


class EstimatedFlow(FlowVideos):
    """The optical flow of videos, estimated from their frames.

    Args:
        source: the videos.
        build: makes an estimator; an entry of :data:`pvbias.registries.FLOW`. It is called where a video is opened
            first: what it makes does not travel to other processes.
    """

    def __init__(self, source: VideoSource, build: Callable[[], Estimator]) -> None:
        super().__init__(source)
        self._build = build
        self._estimator: Estimator | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_estimator": None}

    def open(self, record: VideoRecord) -> FlowVideo:
        """See :class:`pvbias.data.flow.FlowVideos`."""
        self._estimator = self._estimator or self._build()
        return FlowVideo(self._source.open(record), self._estimator)

    def missing(self) -> list[int]:
        """Numbers of the records whose videos are not there."""
        return find_missing(self._source)


class FlowVideo(SharedTimes):
    """The optical flow of a video, coded as frames; implements :class:`pvbias.video.Video`.

    Frame k has the displacement, in pixels of the size asked for, from the video's frame k to frame k + 1 at that size
    (see :func:`.encode_flow`); the last one repeats the one before it. In a video of one frame nothing
    moves. Reads that follow each other decode and estimate nothing twice.

    Args:
        video: the original; closed with this.
        estimator: of the flow.

    Attributes:
        figures: ``pairs`` of frames that flow was estimated for, the ``seconds`` that took, the number of ``vectors``,
            and how many of them are ``clipped``: beyond what the code can say.
    """

    def __init__(self, video: Video, estimator: Estimator) -> None:
        super().__init__(video)
        self._video = video
        self._estimator = estimator
        self._size: FrameSize | None = None  # that the two below are of
        self._frame: tuple[int, np.ndarray] | None = None  # the last one read, and its number
        self._flow: tuple[int, np.ndarray] | None = None  # the last one estimated
        self.figures = {"pairs": 0, "seconds": 0.0, "vectors": 0, "clipped": 0}

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The flow of the frames shown at ``times``: uint8 ``(len(times), height, width, 3)``.

        Raises:
            BadVideoError: the frames cannot be had, or are smaller than 16 pixels.
        """
        if size != self._size:
            self._size, self._frame, self._flow = size, None, None
        numbers, place = frames_shown(self.timestamps, times)
        # The last frame has no next one: its flow is that of the pair before.
        starts = np.minimum(numbers, max(len(self.timestamps) - 2, 0)).tolist()
        flows = dict([self._flow] if self._flow else [])
        missing = sorted(set(starts) - set(flows))
        frames = self._frames(missing, size)
        for start in missing:
            flows[start] = encode_flow(self._estimated(frames[start], frames.get(start + 1)))
        self._flow = starts[-1], flows[starts[-1]]
        return in_order(np.stack([flows[start] for start in starts]), place)

    def _frames(self, starts: Sequence[int], size: FrameSize) -> dict[int, np.ndarray]:
        """The frames of the pairs that begin at ``starts``, by number."""
        frames = dict([self._frame] if self._frame else [])
        wanted = {number for start in starts for number in (start, start + 1)} & set(range(len(self.timestamps)))
        missing = sorted(wanted - set(frames))
        if missing:
            images = self._video.read(self.timestamps[missing].tolist(), size)
            height, width = images.shape[1:3]
            if min(height, width) < SMALLEST:
                raise BadVideoError("unreadable", f"frames of {width} x {height} pixels are too small for optical flow")
            frames |= zip(missing, images, strict=True)
            self._frame = missing[-1], images[-1].copy()  # a view would keep all of them
        return frames

    def _estimated(self, first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
        """The vectors between two frames; without a second one, none moves."""
        if second is None:
            return np.zeros((*first.shape[:2], 2), np.float32)
        begin = time.perf_counter()
        vectors = self._estimator(first, second)
        self.figures["seconds"] += time.perf_counter() - begin
        self.figures["pairs"] += 1
        self.figures["vectors"] += vectors[..., 0].size
        self.figures["clipped"] += int((np.abs(vectors).max(axis=-1) > BOUND).sum())
        return vectors
