"""Frame sampling by frame numbers, as the data loaders of model zoos do it.

A model zoo's rule is one of these with its numbers filled in, registered in SAMPLING by the plugin that has the zoo's
models. All of them give times at which frames come up, so that those very frames are read.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..video.video import ROUNDING

#: Slack where times are compared, seconds: above what double precision makes of them, below any step of a time base.
_SLACK = 1e-8
#: Slack where a number of frames is rounded down.
_FRAME_SLACK = 1e-6


@dataclass(frozen=True)
class Part:
    """The part of a video that clips are taken from.

    Attributes:
        times: float64 ``(N,)``, N >= 1: when its frames come up, seconds from its beginning.
        duration: seconds, > 0.
    """

    times: np.ndarray
    duration: float

    @property
    def num_frames(self) -> int:
        """N."""
        return len(self.times)

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self.num_frames / self.duration


@dataclass(frozen=True, kw_only=True)
class FrameSampling(abc.ABC):
    """Base of sampling rules that choose frames by their numbers in the video.

    Attributes:
        num_frames: T, >= 1.
        num_clips: test clips of a video, >= 1.
        center_up: a test crop in the centre that is half a pixel off lies down and to the right of it (rounded up);
            else its corner is rounded to even.
    """

    num_frames: int
    num_clips: int = 1
    center_up: bool = False

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """Description of the sampled frames, for the report."""

    @property
    @abc.abstractmethod
    def span(self) -> float | None:
        """Seconds that a clip covers, the time its last frame is shown included; None: the whole video."""

    @abc.abstractmethod
    def test_numbers(self, part: Part) -> np.ndarray:
        """Numbers in [0, N) of the frames of the test clips, int64 ``(clips, T)``."""

    @abc.abstractmethod
    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """Numbers in [0, N) of the frames of a training clip, int64 ``(T,)``."""

    def test_clips(self, start: float, end: float, timestamps: np.ndarray) -> np.ndarray:
        """Times ``(clips, T)`` of the test clips of ``start`` .. ``end``; see :class:`.sampling.SamplingRule`."""
        first, part = _part(start, end, timestamps)
        return timestamps[first + self.test_numbers(part)]

    def random_clip(self, start: float, end: float, rng: np.random.Generator, timestamps: np.ndarray) -> np.ndarray:
        """Times ``(T,)`` of a training clip of ``start`` .. ``end``; see :class:`.sampling.SamplingRule`."""
        first, part = _part(start, end, timestamps)
        return timestamps[first + self.random_numbers(part, rng)]


@dataclass(frozen=True, kw_only=True)
class SpreadOverSeconds(FrameSampling):
    """Frames spread evenly over those of a window in time, the first and the last of these among them.

    The window is ``seconds`` long; in it are the frames that come up in it. Of S frames the clip takes those numbered
    ``linspace(0, S - 1, T)``, rounded down, in single precision. A video of another frame rate has other frames at the
    same times; one that is shorter than the window is the window. Test clip k of n begins at ``k / n`` of the room
    that the window has in the video, so that the first begins with the video and the last does not reach its end; a
    training clip anywhere in that room.

    Attributes:
        seconds: of the window, > 0.
    """

    seconds: float

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        return f"{self.num_frames} frames spread over {self.seconds:.3g} s, both ends in them"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self.seconds

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        room = max(part.duration - self.seconds, 0.0)
        return np.stack([self._window(part, room * clip / self.num_clips) for clip in range(self.num_clips)])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        return self._window(part, rng.random() * max(part.duration - self.seconds, 0.0))

    def _window(self, part: Part, begin: float) -> np.ndarray:
        first, stop = np.searchsorted(part.times, [begin - _SLACK, begin + self.seconds - _SLACK])
        if first >= stop:  # shorter than a frame: the one that is shown then
            first, stop = max(first - 1, 0), max(first, 1)
        return first + _evenly(0, stop - first - 1, self.num_frames).numpy()


@dataclass(frozen=True, kw_only=True)
class SpreadOverFrames(FrameSampling):
    """Frames spread evenly over a window that is counted in frames, the first and the last of these among them.

    The window has as many frames as come up in ``seconds``, on average, S, which need not be whole. A clip that begins
    at frame b takes those numbered ``linspace(b, b + S - 1, T)``, rounded down, in single precision; in a video that
    is shorter, its last frame from there on. A training clip begins anywhere where it fits, uniformly; test clip k of n
    at ``k / n`` of the room that the window has.

    Attributes:
        seconds: of the window, > 0.
        to_the_end: test clips begin ``floor(room / (n - 1))`` frames apart instead; a single one at
            ``floor(room / 2)``.
    """

    seconds: float
    to_the_end: bool = False

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        return f"{self.num_frames} frames spread over the frames of {self.seconds:.3g} s, both ends in them"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self.seconds

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        room, clips = self._room(part), range(self.num_clips)
        if not self.to_the_end:
            begins = [room * clip / self.num_clips for clip in clips]
        elif self.num_clips == 1:
            begins = [math.floor(room / 2 + _FRAME_SLACK)]
        else:
            begins = [clip * math.floor(room / (self.num_clips - 1) + _FRAME_SLACK) for clip in clips]
        return np.stack([self._window(part, begin) for begin in begins])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        return self._window(part, rng.random() * self._room(part))

    def _size(self, part: Part) -> float:
        return max(1.0, self.seconds * part.fps)

    def _room(self, part: Part) -> float:
        return max(part.num_frames - self._size(part), 0.0)

    def _window(self, part: Part, begin: float) -> np.ndarray:
        numbers = _evenly(begin, begin + self._size(part) - 1, self.num_frames)
        return numbers.clamp(0, part.num_frames - 1).numpy()


#: Begins of n clips in a video that has room for clips at frames 0 .. last: ``(last, n) -> n numbers``.
Begins = Callable[[int, int], list[int]]


def evenly_begun(last: int, count: int) -> list[int]:
    """First frames of windows from 0 to ``last``, spread as ``linspace`` does; a single one at 0."""
    return _evenly(0, last, count).tolist()


def begun_in_steps(last: int, count: int) -> list[int]:
    """First frames of windows at multiples of ``last / (count - 1)``, rounded down in single precision; a single one at
    0."""
    step = np.float32(last) / np.float32(max(count - 1, 1))
    return [int(np.float32(number) * step) for number in range(count)]


@dataclass(frozen=True, kw_only=True)
class ConsecutiveFrames(FrameSampling):
    """Every ``stride``-th frame of a video, or of what it is at another frame rate.

    At another frame rate frame j is the one numbered ``j * own rate / rate``, rounded down. Test clips begin where
    ``begins`` says, a training clip at any frame where it fits. A video that is shorter than a clip is looped.

    Attributes:
        stride: frames from one of a clip to the next, >= 1.
        fps: frames per second that the video is brought to first, > 0; None: its own.
        nominal_fps: what the stride means in seconds, for the report: frames per second, > 0.
        begins: of the test clips.
    """

    stride: int = 1
    fps: float | None = None
    nominal_fps: float = 30.0
    begins: Begins = evenly_begun

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        rate = "of the video's own" if self.fps is None else f"at {self.fps:g} frames per second"
        step = "consecutive frames" if self.stride == 1 else f"frames, every {self.stride}"
        return f"{self.num_frames} {step} {rate}"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self.num_frames * self.stride / (self.fps or self.nominal_fps)

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        frames, last = self._resampled(part)
        return np.stack([self._from(frames, begin) for begin in self.begins(last, self.num_clips)])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        frames, last = self._resampled(part)
        return self._from(frames, int(rng.integers(last + 1)))

    def _resampled(self, part: Part) -> tuple[np.ndarray, int]:
        """The frames that clips are made of, and the last one that a clip may begin with."""
        step = 1.0 if self.fps is None else part.fps / self.fps
        if round(step) >= 1 and abs(step - round(step)) < _FRAME_SLACK:
            frames = np.arange(0, part.num_frames, round(step))
        else:
            count = max(math.floor(part.num_frames / step + _FRAME_SLACK), 1)
            places = torch.arange(count, dtype=torch.float32) * step
            frames = places.floor().long().clamp(max=part.num_frames - 1).numpy()
        return frames, max(len(frames) - (self.num_frames - 1) * self.stride - 1, 0)

    def _from(self, frames: np.ndarray, begin: int) -> np.ndarray:
        return frames[(begin + self.stride * np.arange(self.num_frames)) % len(frames)]


@dataclass(frozen=True, kw_only=True)
class EvenWindows(FrameSampling):
    """Evenly spread windows of consecutive frames, of a video of which every ``stride``-th frame is kept.

    With N frames left, test clips begin ``max(1, ceil((N - 1 - T) / (n - 1)))`` frames apart, from the first frame on;
    one that reaches beyond the end is looped, and is the last: a short video has fewer than n. A single test clip is
    in the middle, ``max(0, N // 2 - T // 2)``. A training clip begins at 0 .. ``max(0, N - T - 1)``; it is looped where
    the video is too short.

    Attributes:
        stride: >= 1.
        nominal_fps: what it means in seconds, for the report: frames per second, > 0.
    """

    stride: int = 1
    nominal_fps: float = 30.0

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        step = "consecutive frames" if self.stride == 1 else f"frames, every {self.stride}"
        return f"{self.num_frames} {step} of the video's own"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self.num_frames * self.stride / self.nominal_fps

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        left = self._left(part)
        if self.num_clips == 1:
            return self._window(left, max(0, left // 2 - self.num_frames // 2))[None]
        step = max(1, math.ceil((left - 1 - self.num_frames) / (self.num_clips - 1)))
        begins = list(range(0, left, step))[: self.num_clips]
        looped = [begin for begin in begins if begin + self.num_frames > left]
        return np.stack([self._window(left, begin) for begin in begins if begin not in looped[1:]])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        left = self._left(part)
        return self._window(left, int(rng.integers(max(0, left - self.num_frames - 1), endpoint=True)))

    def _left(self, part: Part) -> int:
        return -(-part.num_frames // self.stride)

    def _window(self, left: int, begin: int) -> np.ndarray:
        """The window from ``begin`` on; the video is repeated where it is too short."""
        there = min(self.num_frames, left - begin)
        return self.stride * (begin + np.arange(self.num_frames) % there)


@dataclass(frozen=True, kw_only=True)
class Segments(FrameSampling):
    """One frame of each of T segments of equal length that divide the video.

    With N frames, segments are ``N / T`` long. A test clip has the frame at the same place in each segment, rounded
    down: a single one the frame in the centre; clip k of n the one at ``1/2 + k/n`` of the segment (less 1 where that
    is more than 1). A training clip has a frame drawn from the ``N // T`` first ones of each; of a video of fewer
    frames than segments it has the first frame only.
    """

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        return f"{self.num_frames} frames, one of each segment of the whole video"

    @property
    def span(self) -> None:
        """See :class:`FrameSampling`."""
        return None

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        length, segments = part.num_frames / self.num_frames, range(self.num_frames)
        places = [(0.5 + clip / self.num_clips) % 1.0 for clip in range(self.num_clips)]
        return np.array([[int(length * place + length * segment) for segment in segments] for place in places])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        length = part.num_frames // self.num_frames
        if length == 0:
            return np.zeros(self.num_frames, np.int64)
        return length * np.arange(self.num_frames) + rng.integers(length, size=self.num_frames)


@dataclass(frozen=True, kw_only=True)
class LoopedStride(FrameSampling):
    """Every ``stride``-th frame from a beginning on, the video looped.

    With N frames there is room for ``R = max(1, 1 + N - T * stride)`` beginnings: test clips begin at ``linspace(0, R -
    1, n)``, rounded down, a training clip at one of the first ``R - 1``.

    Attributes:
        stride: >= 1.
        nominal_fps: what it means in seconds, for the report: frames per second, > 0.
    """

    stride: int
    nominal_fps: float = 30.0

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        return f"{self.num_frames} frames, every {self.stride} of the video's own"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self.num_frames * self.stride / self.nominal_fps

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        begins = np.linspace(0, self._room(part) - 1, num=self.num_clips, dtype=int)
        return np.stack([self._from(part, begin) for begin in begins])

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        room = self._room(part)
        return self._from(part, 0 if room == 1 else int(rng.integers(room - 1)))

    def _room(self, part: Part) -> int:
        return max(1, 1 + part.num_frames - self.num_frames * self.stride)

    def _from(self, part: Part, begin: int) -> np.ndarray:
        return (begin + self.stride * np.arange(self.num_frames)) % part.num_frames


def _evenly(first: float, last: float, count: int) -> torch.Tensor:
    """``count`` whole numbers from ``first`` to ``last``: int64 ``(count,)``. Single precision rounds some of them down
    by one, as in the code that networks were trained with."""
    return torch.linspace(first, last, count, dtype=torch.float32).long()


def _part(start: float, end: float, timestamps: np.ndarray) -> tuple[int, Part]:
    """The first frame of ``start`` .. ``end``, and the part; the frame that is shown where none comes up in it."""
    first, stop = np.searchsorted(timestamps, [start - ROUNDING, end - ROUNDING]).tolist()
    if start == 0:
        first = 0
    if first >= stop:
        first, stop = max(first - 1, 0), max(first, 1)
    return first, Part(timestamps[first:stop] - start, end - start)
