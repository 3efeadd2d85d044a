"""Frame sampling as the authors of TimeSformer and V-JEPA 2 do it; VideoMAE and ViViT test with "rate"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.data.frame_sampling import FrameSampling, Part, SpreadOverFrames
from pvbias.registries import SAMPLING


@SAMPLING.register(name="timesformer")
def timesformer(cfg: CfgNode) -> SpreadOverFrames:
    """Frames spread over those of NUM_FRAMES * SAMPLING_RATE / TARGET_FPS seconds, both ends in them: TimeSformer's.

    ``get_start_end_idx`` and ``temporal_sampling`` of its decoder, on all frames of a video; SlowFast's, in short.
    """
    return SpreadOverFrames(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        seconds=cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS,
        center_up=True,
    )


@SAMPLING.register(name="vjepa2")
def vjepa2(cfg: CfgNode) -> SpreadToTheEnd:
    """Frames spread over NUM_FRAMES * SAMPLING_RATE frames of the video, whatever its rate: V-JEPA 2's.

    ``VideoDataset.loadvideo_decord`` of its evaluations, with clips that do not overlap.
    """
    return SpreadToTheEnd(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        step=cfg.DATA.SAMPLING_RATE,
        fps=cfg.DATA.TARGET_FPS,
    )


@dataclass(frozen=True, kw_only=True)
class SpreadToTheEnd(FrameSampling):
    """Frames spread evenly from the first of T * step frames to the one after the last, which becomes the last.

    A clip that begins at frame b takes those numbered ``linspace(b, b + T * step, T)``, rounded down, and at most
    ``b + T * step - 1``. The video is cut into as many parts as there are test clips, and each begins with its part; a
    training clip begins anywhere where it fits, uniformly. A part that is no longer than a clip gives as many frames as
    it has steps, spread over it, and its last frame from there on.

    Attributes:
        step: frames, >= 1.
        fps: frames per second of the videos, for :attr:`span` alone.
    """

    step: int
    fps: float

    @property
    def words(self) -> str:
        """See :class:`FrameSampling`."""
        return f"{self.num_frames} frames spread over {self._length} frames of the video, whatever its rate"

    @property
    def span(self) -> float:
        """See :class:`FrameSampling`."""
        return self._length / self.fps

    @property
    def _length(self) -> int:
        return self.num_frames * self.step

    def test_numbers(self, part: Part) -> np.ndarray:
        """See :class:`FrameSampling`."""
        length = part.num_frames // self.num_clips
        clips = [
            np.minimum(clip * length + self._within(length), part.num_frames - 1) for clip in range(self.num_clips)
        ]
        return np.stack(clips)

    def random_numbers(self, part: Part, rng: np.random.Generator) -> np.ndarray:
        """See :class:`FrameSampling`."""
        room = max(part.num_frames - self._length, 1)
        return int(rng.integers(room)) + self._within(part.num_frames)

    def _within(self, length: int) -> np.ndarray:
        """Numbers of the frames of a clip that begins with a part of so many."""
        if length > self._length:
            return np.minimum(np.linspace(0, self._length, self.num_frames), self._length - 1).astype(np.int64)
        own = np.linspace(0, length, length // self.step)
        padded = np.concatenate([own, np.full(self.num_frames - len(own), length)])
        return np.clip(padded, 0, max(length - 1, 0)).astype(np.int64)
