"""The Video contract: what sampling and transforms need of a video, whatever its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..errors import DataError

#: A frame counts as shown at ``t`` when it comes up within this time after it, seconds: containers round times
#: (Matroska to whole milliseconds), and ``i / fps`` must not give the frame before the i-th.
ROUNDING = 1e-3

#: ``size(height, width of the upright frame) -> (height, width) to resize it to``
FrameSize = Callable[[int, int], tuple[int, int]]


class Video(Protocol):
    """An opened video.

    Attributes:
        timestamps: float64 ``(F,)``, seconds from the first frame, ascending: when each frame comes up.
        duration: seconds from the first frame to the end of the last.
    """

    @property
    def timestamps(self) -> np.ndarray: ...

    @property
    def duration(self) -> float: ...

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The frames shown at ``times`` (seconds in [0, duration], any order, repeats allowed), upright and resized,
        in the order asked for: uint8 RGB ``(len(times), height, width, 3)``.

        Raises:
            BadVideoError: they cannot be had.
        """
        ...

    def close(self) -> None: ...


class _Opened(Protocol):
    """An opened file with times: a :class:`Video`, optical flow."""

    @property
    def timestamps(self) -> np.ndarray: ...

    @property
    def duration(self) -> float: ...

    def close(self) -> None: ...


class SharedTimes:
    """Base of what is read from something opened, at the times of its frames: their optical flow, say.

    Args:
        opened: closed with this.
    """

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened

    @property
    def timestamps(self) -> np.ndarray:
        """See :class:`Video`."""
        return self._opened.timestamps

    @property
    def duration(self) -> float:
        """See :class:`Video`."""
        return self._opened.duration

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()


def frames_shown(timestamps: np.ndarray, times: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The frames that a read needs: for each time the last one displayed by then (the first one before any is).

    Args:
        timestamps: float64 ``(F,)``, ascending.
        times: seconds, any order, repeats allowed.

    Returns:
        The frames, each once, ascending; and for each time the place of its frame among them, for :func:`in_order`.
    """
    intervals = np.diff(timestamps)
    tolerance: float | np.ndarray = ROUNDING
    if len(intervals) and intervals.min() < 2 * ROUNDING:  # a frame's own time then still has to give that frame
        tolerance = np.minimum(ROUNDING, np.append(np.inf, intervals) / 2)
    shown = np.searchsorted(timestamps - tolerance, np.asarray(times, float), side="right") - 1
    needed, place = np.unique(np.maximum(shown, 0), return_inverse=True)
    return needed, place


def in_order(frames: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The frames in the order of the times that were asked for; not copied where they are in it already."""
    return frames if np.array_equal(place, np.arange(len(frames))) else frames[place]


class BadVideoError(DataError):
    """A video that cannot be used.

    Attributes:
        cause: one of ``missing``, ``unreadable``, ``encrypted``, ``no video stream``, ``no decodable frame``,
            ``damaged times``, ``decoder error``, ``decoder crash``, ``label out of range``.
        detail: what was seen, with the time in seconds for a decoder error, with the signal for a crash.
    """

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail

    def __reduce__(self):  # noqa: ANN204 (two arguments: the default pickling would lose the second between processes)
        return type(self), (self.cause, self.detail)
