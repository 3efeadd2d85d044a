"""Rotation and mirroring of frames by their display matrix: all eight orientations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

#: How far off quarter turns a matrix may be, as a tangent: a degree, as for ffmpeg.
_SLACK = math.tan(math.radians(1))


@dataclass(frozen=True)
class Orientation:
    """The transform that makes stored frames upright: first transposed, then mirrored.

    Attributes:
        transpose: rows become columns.
        flip_rows: then top to bottom.
        flip_columns: and left to right.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """The orientation of a frame's display matrix; the identity where it has none."""
        # Not frame.side_data, which up to PyAV 18 refers to the frame and the frame to it: frames would stay in memory
        # until Python looks for such circles.
        data = cast(Any, SideDataContainer)(frame).get(Type.DISPLAYMATRIX)  # of which its types know nothing
        return UPRIGHT if data is None else orientation_of(np.frombuffer(memoryview(data), np.int32)[:9].reshape(3, 3))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The upright image ``(H, W, 3)``, a view of the stored one."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


UPRIGHT = Orientation()


def orientation_of(matrix: np.ndarray) -> Orientation:
    """The orientation that a display matrix, as ISO 14496-12 (6.2.2) has it, means.

    ::

        shown column = a x + c y + shift,  shown row = b x + d y + shift,  matrix = [[a, b, .], [c, d, .], [., ., .]]

    Scales and shifts have no part in it: frames are resized anyway. A matrix that turns by anything but quarter turns,
    or is broken (zeros), leaves frames as they are.

    Args:
        matrix: ``(3, 3)``.
    """
    (a, b), (c, d) = (matrix[row, :2].astype(float).tolist() for row in (0, 1))
    columns = math.hypot(a, c), math.hypot(b, d)
    if 0 in columns:
        return UPRIGHT
    cosine, sine = a / columns[0], b / columns[1]  # of the turn, where rows and columns have a scale of their own
    if abs(sine) <= _SLACK * abs(cosine):
        return Orientation(flip_rows=d < 0, flip_columns=a < 0)
    if abs(cosine) <= _SLACK * abs(sine):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return UPRIGHT
