"""Which moments of a video make a clip: pure functions from durations to frame times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fvcore.common.config import CfgNode

from .video import BadVideoError, VideoRecord

#: Slack where times are compared, seconds: far below a frame, far above rounding.
_SLACK = 1e-6


@dataclass(frozen=True, kw_only=True)
class TemporalSampling:
    """How frames of a clip are spread, and which clips of a video are tested.

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
    """

    num_frames: int
    step: float
    num_clips: int = 1
    stride: float | None = None

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> TemporalSampling:
        """What the keys under DATA and TEST.NUM_ENSEMBLE_VIEWS ask for; ``cfg`` is completed."""
        data = cfg.DATA
        windows = data.TEMPORAL_SAMPLING == "windows"
        if data.TEMPORAL_SAMPLING == "duration":
            step = data.CLIP_DURATION / data.NUM_FRAMES
        else:
            step = data.SAMPLING_RATE / data.TARGET_FPS
        return cls(
            num_frames=data.NUM_FRAMES,
            step=step,
            num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
            stride=data.WINDOW_STRIDE / data.TARGET_FPS if windows else None,
        )

    @property
    def span(self) -> float:
        """Seconds that a clip covers, the time its last frame is shown included."""
        return self.num_frames * self.step

    def random_clip(self, start: float, end: float, rng: np.random.Generator) -> np.ndarray:
        """Times ``(T,)`` of a training clip that begins anywhere in ``start`` .. ``end`` where it fits, uniformly."""
        begin = start + rng.random() * max(end - start - self.span, 0.0)
        return self._frames(np.array([begin]), start, end)[0]

    def test_clips(self, start: float, end: float) -> np.ndarray:
        """Times ``(clips, T)`` of the test clips of ``start`` .. ``end``.

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
