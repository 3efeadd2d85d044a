"""Temporal sampling: from a video's duration to the frame times of its clips, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from fvcore.common.config import CfgNode

from ..registries import SAMPLING
from ..video.video import BadVideoError
from .records import VideoRecord

#: Slack where times are compared, seconds: far below a frame, far above rounding.
_SLACK = 1e-6


class SamplingRule(Protocol):
    """The contract of a SAMPLING entry: the frame times of training and test clips.

    It goes to the processes that load videos: it has to be picklable, and of a module that is quickly imported.

    Attributes:
        num_clips: test clips of a video; "windows" have more or fewer.
        words: the frames of a clip, in words for the report.
        span: seconds that a clip covers, the time its last frame is shown included; None: the whole video.
        center_up: where a test crop cannot be exactly in the centre, it lies down and to the right.
    """

    @property
    def num_clips(self) -> int: ...

    @property
    def words(self) -> str: ...

    @property
    def span(self) -> float | None: ...

    @property
    def center_up(self) -> bool: ...

    def test_clips(self, start: float, end: float, timestamps: np.ndarray) -> np.ndarray:
        """Times ``(clips, T)``, seconds in [start, end), of the test clips of a part of a video.

        Args:
            start, end: the part, seconds from the video's first frame.
            timestamps: float64 ``(F,)``, when each frame of the video comes up.
        """
        ...

    def random_clip(self, start: float, end: float, rng: np.random.Generator, timestamps: np.ndarray) -> np.ndarray:
        """Times ``(T,)`` of a training clip; arguments as in :meth:`test_clips`."""
        ...


def sampling_rule(cfg: CfgNode) -> SamplingRule:
    """Build the rule that DATA.TEMPORAL_SAMPLING names, for the configured clips.

    ``cfg`` is completed. Where it was filled by hand and names none (there is no model to ask): "rate".
    """
    return SAMPLING.get(cfg.DATA.TEMPORAL_SAMPLING or "rate")(cfg)


@dataclass(frozen=True, kw_only=True)
class TemporalSampling:
    """Frames at an even stride in time, alike for clips of any model: a :class:`SamplingRule`.

    ::

        rate:      NUM_FRAMES frames, SAMPLING_RATE / TARGET_FPS seconds apart
        duration:  NUM_FRAMES frames, CLIP_DURATION / NUM_FRAMES seconds apart
        windows:   as rate; tested are all consecutive windows, WINDOW_STRIDE / TARGET_FPS seconds apart, that fit
            into the video

    Times are seconds, so a video of another or of a variable frame rate is sampled as it would be seen. A part of a
    video that is shorter than a clip is looped: the time after its end is its beginning again.

    Attributes:
        num_frames: T, >= 1.
        step: seconds from one frame to the next, > 0.
        num_clips: test clips, spread uniformly over the video, >= 1.
        stride: seconds from one test clip to the next; None: ``num_clips`` clips instead.
        words: as for :class:`SamplingRule`.
    """

    num_frames: int
    step: float
    num_clips: int = 1
    stride: float | None = None
    words: str = ""

    center_up: ClassVar[bool] = False

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> TemporalSampling:
        """Build the rule from the keys under DATA and TEST.NUM_ENSEMBLE_VIEWS of a completed configuration; a
        DATA.TEMPORAL_SAMPLING that is neither "duration" nor "windows" is taken as "rate"."""
        data = cfg.DATA
        if data.TEMPORAL_SAMPLING == "duration":
            step = data.CLIP_DURATION / data.NUM_FRAMES
            words = f"{data.NUM_FRAMES} frames over {data.CLIP_DURATION:g} s"
        else:
            step = data.SAMPLING_RATE / data.TARGET_FPS
            words = f"{data.NUM_FRAMES} frames, every {data.SAMPLING_RATE} at {data.TARGET_FPS:g} frames per second"
        return cls(
            num_frames=data.NUM_FRAMES,
            step=step,
            num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
            stride=data.WINDOW_STRIDE / data.TARGET_FPS if data.TEMPORAL_SAMPLING == "windows" else None,
            words=words,
        )

    @property
    def span(self) -> float:
        """Seconds that a clip covers, the time its last frame is shown included."""
        return self.num_frames * self.step

    def random_clip(
        self, start: float, end: float, rng: np.random.Generator, timestamps: np.ndarray | None = None
    ) -> np.ndarray:
        """Times ``(T,)`` of a training clip that begins anywhere in ``start`` .. ``end`` where it fits, uniformly."""
        begin = start + rng.random() * max(end - start - self.span, 0.0)
        return self._frames(np.array([begin]), start, end)[0]

    def test_clips(self, start: float, end: float, timestamps: np.ndarray | None = None) -> np.ndarray:
        """Times ``(clips, T)`` of the test clips of ``start`` .. ``end``, whenever frames come up.

        The first of several clips begins with the video and the last one ends with it; a single clip is in the
        middle. Windows begin with the video; what remains at the end and is shorter than a window is not tested,
        except in a video shorter than one.
        """
        room = max(end - start - self.span, 0.0)
        if self.stride is not None:
            begins = start + self.stride * np.arange(int((room + _SLACK) / self.stride) + 1)
        elif self.num_clips == 1:
            begins = np.array([start + room / 2])
        else:
            begins = start + np.linspace(0.0, room, self.num_clips)
        return self._frames(begins, start, end)

    def _frames(self, begins: np.ndarray, start: float, end: float) -> np.ndarray:
        times = begins[:, None] + self.step * np.arange(self.num_frames)
        # A hair is added before and taken off after, so that rounding does not make the very end of what is the
        # beginning.
        looped = start + np.mod(times - start + _SLACK, end - start) - _SLACK
        return np.where(times < end - _SLACK, times, np.maximum(looped, start))


@SAMPLING.register(name="rate")
def every_nth(cfg: CfgNode) -> TemporalSampling:
    """NUM_FRAMES frames, SAMPLING_RATE apart at TARGET_FPS; test clips spread from the video's beginning to its end."""
    return TemporalSampling.from_cfg(cfg)


@SAMPLING.register(name="duration")
def over_a_duration(cfg: CfgNode) -> TemporalSampling:
    """NUM_FRAMES frames spread over CLIP_DURATION seconds, so that scores compare between models; else as "rate"."""
    return TemporalSampling.from_cfg(cfg)


@SAMPLING.register(name="windows")
def all_windows(cfg: CfgNode) -> TemporalSampling:
    """Frames as for "rate"; tested are all consecutive windows, WINDOW_STRIDE apart."""
    return TemporalSampling.from_cfg(cfg)


def part_of_video(record: VideoRecord, duration: float) -> tuple[float, float]:
    """The part, in seconds, of a video of ``duration`` that its record means.

    Raises:
        BadVideoError: the part lies outside the video.
    """
    start = max(record.start or 0.0, 0.0)
    end = duration if record.end is None else min(record.end, duration)
    if end - start <= _SLACK:
        meant = f"{start:g} s to {'the end' if record.end is None else f'{record.end:g} s'}"
        raise BadVideoError("no decodable frame", f"the annotation means {meant}, the video lasts {duration:.3f} s")
    return start, end
