"""Folders of frame images as videos.

Data sets of extracted frames keep more than one series of images in a folder: RGB frames beside optical flow
(``img_00001.jpg`` beside ``flow_x_00001.jpg``, or ``x_00001.jpg``), a cover, a preview. The video is one of them:

- a series is the images whose names differ in the last number in them only (``img_1.jpg``, ``img_2.png``,
  ``img_10.jpg``); an image without a number is in none;
- of several series, those of optical flow (``flow`` in the name, or a pair as ``x_`` and ``y_``) are left out, and
  single images. What is left has to be one series; else ``DATA.FRAME_PREFIX`` has to say which;
- its images follow each other in the order of their numbers, at equal distances in time, whatever they begin with.
  So they do where numbers are missing: such a video has fewer frames, and no pause.

Images that this leaves out and numbers that are missing are logged, once in a process for all folders that are alike.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .resizing import Resizer
from .video import BadVideoError, FrameSize, frames_shown, in_order

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

#: A name without its suffix.
_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]+)(?P<rest>[^0-9]*)")
_FLOW = re.compile(r"flow(?![a-wz])", re.IGNORECASE)
#: What the names of a component of optical flow begin with.
_COMPONENT = re.compile(r"(?P<before>(?:.*[^a-z])?)(?P<letter>[xyuv])(?P<after>[^a-z]*)", re.IGNORECASE)
_OTHER_COMPONENT = {"x": "y", "y": "x", "u": "v", "v": "u"}

#: What this process has logged of folders.
_told: set[tuple[str, ...]] = set()


class ImageFiles:
    """Images in files, shown one after another at equal distances in time; implements :class:`pvbias.video.Video`.

    Images of any bit depth, palette or colour model become 8-bit RGB: of 16 bits the upper 8; alpha is dropped.

    Args:
        files: their paths, in order; one alone is a still image.
        fps: the rate at which they are shown, frames per second.
    """

    def __init__(self, files: Sequence[str], *, fps: float) -> None:
        self._files = files
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
        """The images shown at ``times``; see :class:`pvbias.video.Video`. The size follows the first of them.

        Raises:
            BadVideoError: ``decoder error`` with the file that is no readable image.
        """
        needed, place = frames_shown(self.timestamps, times)
        images = [self._image(number) for number in needed[:1]]
        height, width = size(images[0].height, images[0].width)
        frames = np.empty((len(needed), height, width, 3), np.uint8)
        for slot, number in enumerate(needed):
            frames[slot] = self._resizer(images[0] if slot == 0 else self._image(number), height, width)
        return in_order(frames, place)

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _image(self, number: int) -> av.VideoFrame:
        file = self._files[number]
        try:
            with Image.open(file) as image:
                upright = _rgb(ImageOps.exif_transpose(image), image.format)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
            when = number / self._fps
            raise BadVideoError("decoder error", f"at {when:.2f} s: {os.path.basename(file)}: {error}") from error
        return av.VideoFrame.from_ndarray(np.asarray(upright), format="rgb24")


class FrameFolder(ImageFiles):
    """A series of frame images in a folder.

    Args:
        path: the folder.
        fps: the rate at which its images are shown, frames per second.
        prefix: DATA.FRAME_PREFIX: what the names of the series begin with, before the number; None: found as above.

    Raises:
        BadVideoError: the folder is missing, or holds no series of images, or several that may be meant.
    """

    def __init__(self, path: str, *, fps: float, prefix: str | None = None) -> None:
        if not os.path.isdir(path):
            raise BadVideoError("missing", f"there is no folder {path}")
        names = sorted(entry.name for entry in os.scandir(path) if is_image(entry.name))
        super().__init__([os.path.join(path, name) for name in _frames(path, names, prefix)], fps=fps)


def _rgb(image: Image.Image, file_format: str | None) -> Image.Image:
    """Convert to 8-bit RGB. Pillow itself cuts brighter values off where a file has 16 bits of grey.

    Raises:
        ValueError: there is no telling what is white: floating-point values, 32 bits.
    """
    # Pillow has 16 bits of grey as "I;16", "I;16B", ..., and those of PNM (and in older releases of PNG) as "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"values of 32 bits (mode {image.mode}) have no white: convert the images to 8 or 16 bits")
    return image.convert("RGB")


@dataclass(frozen=True)
class _Series:
    """Images whose names differ in a number only.

    Attributes:
        prefix, rest: what stands before and after it.
        images: names by number.
    """

    prefix: str
    rest: str
    images: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.prefix}#{self.rest} ({len(self.images)})"


def _frames(path: str, names: Sequence[str], prefix: str | None) -> list[str]:
    """Images in a folder that are the video, in order."""
    series, unnumbered = _sorted_out(path, names)
    if not series:
        what = f"none of its images has a number in its name ({unnumbered[0]}, ...)" if names else "it has no images"
        raise BadVideoError("no decodable frame", f"{path}: {what}")
    chosen = _choose(series, prefix)
    if len(chosen) != 1:
        listed = f"{path} has the images {', '.join(map(str, series))}"
        if prefix is None:
            why = "DATA.FRAME_PREFIX (of prepare and flow extract: --frame-prefix) says what the video's begin with"
        else:
            why = f"{len(chosen) or 'no'} series with {prefix!r} before the number, which DATA.FRAME_PREFIX asks for"
        raise BadVideoError("unreadable", f"{listed}: {why}")
    numbers = sorted(chosen[0].images)
    left_out = [str(other) for other in series if other is not chosen[0]] + unnumbered
    _tell(path, chosen[0], left_out if prefix is None else [], numbers)
    return [chosen[0].images[number] for number in numbers]


def _sorted_out(path: str, names: Sequence[str]) -> tuple[list[_Series], list[str]]:
    """Sort images into series, and those that are in none."""
    series: dict[tuple[str, str], _Series] = {}
    unnumbered = []
    for name in names:
        match = _NUMBERED.fullmatch(os.path.splitext(name)[0])
        if match is None:
            unnumbered.append(name)
            continue
        key, number = (match["prefix"], match["rest"]), int(match["number"])
        images = series.setdefault(key, _Series(*key)).images
        if number in images:
            raise BadVideoError("unreadable", f"{path}: {images[number]} and {name} are both number {number}")
        images[number] = name
    return list(series.values()), unnumbered


def _choose(series: Sequence[_Series], prefix: str | None) -> list[_Series]:
    """The series that may be the video."""
    if prefix is not None:
        return [one for one in series if one.prefix == prefix]
    if len(series) > 1:
        prefixes = {one.prefix.lower() for one in series}
        series = [one for one in series if not _is_flow(one.prefix, prefixes)]
    several = [one for one in series if len(one.images) > 1]
    return several or list(series)


def _is_flow(prefix: str, prefixes: Collection[str]) -> bool:
    """Whether a series is optical flow by its names; ``prefixes``: of all series, in lower case."""
    match = _COMPONENT.fullmatch(prefix)
    if match is None:
        return bool(_FLOW.search(prefix))
    other = match["before"] + _OTHER_COMPONENT[match["letter"].lower()] + match["after"]
    return bool(_FLOW.search(prefix)) or other.lower() in prefixes


def _tell(path: str, chosen: _Series, left_out: Sequence[str], numbers: Sequence[int]) -> None:
    """Log what was left out of a folder, unless it was said of one like it."""
    kinds = [re.sub("[0-9]+", "", name) for name in left_out]
    if left_out and _unknown("left out", chosen.prefix, *kinds):
        listed = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
        logger.warning("%s: the video is %s; left out: %s (so in folders like it)", path, chosen, listed)
    # Every fifth frame has a step of 5, and no gap.
    steps = {after - before for before, after in pairwise(numbers)}
    if len(steps) > 1 and _unknown("gaps", chosen.prefix):
        logger.warning(
            "%s: of %s, numbers between %d and %d are missing; its frames follow each other without a pause (so in "
            "folders like it)",
            *(path, chosen, numbers[0], numbers[-1]),
        )


def _unknown(*what: str) -> bool:
    """Remember a message, and tell whether this process had not said it before."""
    new = what not in _told
    _told.add(what)
    return new


def is_image(name: str) -> bool:
    """Whether a file name is an image's (hidden files never are)."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that takes digits in a name as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]
