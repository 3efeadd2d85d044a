"""A folder of frame images as a video."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .resizing import Resizer
from .video import BadVideoError, FrameSize

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


class FrameFolder:
    """The images of a folder, in natural order of their names (``frame2`` before ``frame10``); implements
    :class:`pvbias.data.Video`.

    Args:
        path: the folder.
        fps: the rate at which its images are shown, frames per second.

    Raises:
        BadVideoError: it is missing or holds no image.
    """

    def __init__(self, path: str, *, fps: float) -> None:
        if not os.path.isdir(path):
            raise BadVideoError("missing", f"there is no folder {path}")
        self._files = sorted((entry.path for entry in os.scandir(path) if is_image(entry.name)), key=natural_order)
        if not self._files:
            raise BadVideoError("no decodable frame", f"there is no image in {path}")
        self._fps = fps
        self._resizer = Resizer()

    @property
    def timestamps(self) -> np.ndarray:
        """``i / fps`` seconds."""
        return np.arange(len(self._files)) / self._fps

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self._files) / self._fps

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The images shown at ``times``; see :class:`pvbias.data.Video`. The size follows the first of them.

        Raises:
            BadVideoError: ``decoder error`` with the file that is no readable image.
        """
        shown = np.floor(np.asarray(times, float) * self._fps + 1e-3).astype(int)
        needed, place = np.unique(shown.clip(0, len(self._files) - 1), return_inverse=True)
        images = [self._image(number) for number in needed[:1]]
        height, width = size(images[0].height, images[0].width)
        frames = np.empty((len(needed), height, width, 3), np.uint8)
        for slot, number in enumerate(needed):
            frames[slot] = self._resizer(images[0] if slot == 0 else self._image(number), height, width)
        return frames[place]

    def close(self) -> None:
        """Nothing is kept open."""

    def _image(self, number: int) -> av.VideoFrame:
        file = self._files[number]
        try:
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
            when = number / self._fps
            raise BadVideoError("decoder error", f"at {when:.2f} s: {os.path.basename(file)}: {error}") from error
        return av.VideoFrame.from_ndarray(np.asarray(upright), format="rgb24")


def is_image(name: str) -> bool:
    """Whether a file name says it is an image (hidden files never are)."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that takes digits in a name as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]
