"""Rendering of videos: a small image that moves over a still one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.errors import ConfigError
from pvbias.video import FrameSize, frames_shown, resize_frames
from pvbias.video.flow_coding import resize_flow
from pvbias.video.video import in_order


@dataclass(frozen=True, kw_only=True)
class Format:
    """Size and length of the videos.

    Attributes:
        size: side of the square frames, pixels, >= 8.
        brush_size: side of the square image that moves, pixels, 1 .. size.
        frames: of a video, >= 2.
        fps: frames per second, > 0.

    Raises:
        ConfigError: a value out of its range.
    """

    size: int
    brush_size: int
    frames: int
    fps: float

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ConfigError(f"DECOUPLED.SIZE = {self.size} must be at least 8 pixels.")
        if not 1 <= self.brush_size <= self.size:
            raise ConfigError(
                f"DECOUPLED.BRUSH_SIZE = {self.brush_size} must lie in [1, {self.size}]: the image that moves has to "
                f"fit into the frame (DECOUPLED.SIZE = {self.size})."
            )
        if self.frames < 2:
            raise ConfigError(f"DECOUPLED.FRAMES = {self.frames} must be at least 2.")
        if not self.fps > 0:
            raise ConfigError(f"DECOUPLED.FPS = {self.fps} must be above 0.")

    @classmethod
    def from_cfg(cls, cfg: CfgNode, *, brush_share: float) -> Format:
        """The format of the keys under DECOUPLED.

        Args:
            brush_share: BRUSH_SIZE where that is None, as a fraction of SIZE.
        """
        keys = cfg.DECOUPLED
        brush_size = max(1, round(keys.SIZE * brush_share)) if keys.BRUSH_SIZE is None else keys.BRUSH_SIZE
        return cls(size=keys.SIZE, brush_size=brush_size, frames=keys.FRAMES, fps=keys.FPS)

    def corners(self, positions: np.ndarray) -> np.ndarray:
        """The top left pixel of the moving image, int64 ``(F, 2)`` as (x, y), for pen positions ``(F, 2)`` in the unit
        square: the square is scaled such that the whole image always stays inside the frame."""
        return np.rint(positions * (self.size - self.brush_size)).astype(np.int64)


class MovingImage:
    """A video of a small image that moves over a still one; implements :class:`pvbias.video.Video` and
    :class:`pvbias.data.flow.Flow`.

    Args:
        background: uint8 RGB ``(S, S, 3)``.
        brush: the image that moves, uint8 RGB ``(B, B, 3)``, B <= S.
        corners: its top left pixel in each frame, ``(F, 2)`` as (x, y), each in 0 .. S - B.
        fps: frames per second.
    """

    def __init__(self, background: np.ndarray, brush: np.ndarray, corners: np.ndarray, *, fps: float) -> None:
        self._background = background
        self._brush = brush
        self._corners = corners
        self._fps = fps

    @property
    def timestamps(self) -> np.ndarray:
        """``i / fps`` seconds, float64 ``(F,)``."""
        return np.arange(len(self._corners)) / self._fps

    @property
    def duration(self) -> float:
        """``F / fps`` seconds."""
        return len(self._corners) / self._fps

    @property
    def centres(self) -> np.ndarray:
        """The middle of the moving image in each frame: float64 ``(F, 2)`` as (x, y), pixels."""
        return self._corners + (len(self._brush) - 1) / 2

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The frames shown at ``times``: uint8 RGB ``(len(times), height, width, 3)``; see :class:`pvbias.video.Video`.

        No other frame is drawn. The frames, and what another size than S makes of them, are those that reading a
        losslessly written file gives.
        """
        needed, place = frames_shown(self.timestamps, times)
        side = len(self._background)
        return in_order(resize_frames(self._draw(needed), *size(side, side)), place)

    def velocity(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The true optical flow of the frames shown at ``times``; see :class:`pvbias.data.flow.Flow`.

        The whole square of the moving image goes the way to its place in the next frame; the last frame goes on as the
        one before it did.
        """
        needed, place = frames_shown(self.timestamps, times)
        ways = np.diff(self._corners, axis=0) * self._fps
        frames, side = len(self._background), len(self._brush)
        field = np.zeros((len(needed), frames, frames, 2), np.float32)
        for number, frame in enumerate(needed):
            x, y = self._corners[frame]
            field[number, y : y + side, x : x + side] = ways[min(frame, len(ways) - 1)]
        return in_order(resize_flow(field, *size(frames, frames)), place)

    def masks(self, numbers: np.ndarray) -> np.ndarray:
        """Masks of the moving image in the frames of these numbers: uint8 ``(len(numbers), S, S)``, 1 in its whole
        square, which hides what is behind it, 0 elsewhere."""
        side, frames = len(self._brush), len(self._background)
        masks = np.zeros((len(numbers), frames, frames), np.uint8)
        for mask, (x, y) in zip(masks, self._corners[numbers], strict=True):
            mask[y : y + side, x : x + side] = 1
        return masks

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _draw(self, numbers: np.ndarray) -> np.ndarray:
        """The frames of these numbers, uint8 ``(len(numbers), S, S, 3)``."""
        side = len(self._brush)
        frames = np.repeat(self._background[None], len(numbers), axis=0)
        # (frame, y, x, channel, row, column): all places where a brush can be, as views of the frames.
        places = np.lib.stride_tricks.sliding_window_view(frames, (side, side), axis=(1, 2), writeable=True)
        x, y = self._corners[numbers].T
        places[np.arange(len(numbers)), y, x] = self._brush.transpose(2, 0, 1)
        return frames
