"""The track "mask": labels of a video's pixels, 0 for the background.

The masks of a video lie in DATA.MASK_DIR under the video's name without its suffix, one for each of its F frames, as
one of::

    NAME.npz    one array, uint8 or bool (F, h, w)
    NAME/       a folder of images, in the order of their names with numbers read as numbers
    NAME.mp4    a second video (or another kind of file)

Labels are taken as they are written: grey values or places in the palette. A compressed picture cannot hold them, so of
JPEG images and videos a pixel is foreground (1) where it is at least half as bright as white. Masks may have another
size than the frames, and are resized without mixing neighbours. Of an array all is read for each clip, of images and
videos the frames that it has.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Protocol, runtime_checkable

import numpy as np
from fvcore.common.config import CfgNode
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ConfigError
from ..registries import TRACK
from ..video.decoding import FileVideo
from ..video.frame_folder import is_image, natural_order
from ..video.video import BadVideoError, FrameSize, Video, frames_shown, in_order
from .annotations.files import VIDEO_SUFFIXES, is_video
from .records import VideoRecord, VideoSource
from .tracks import Track, VideoTrack

#: Grey level from which a pixel of a compressed mask is foreground.
_FOREGROUND = 128


@runtime_checkable
class MaskSource(Protocol):
    """A :class:`pvbias.data.VideoSource` that can open the masks of its videos."""

    def open_mask(self, record: VideoRecord) -> VideoTrack:
        """Open the masks of a video, whose values are uint8 ``(T, h, w, 1)``.

        Raises:
            BadVideoError: they cannot be had.
        """
        ...


#: Gives the masks of some frames by number, uint8 ``(len(numbers), h, w)``.
ReadMasks = Callable[[np.ndarray], np.ndarray]


class FrameMasks:
    """A mask for each frame of a video; implements :class:`.tracks.VideoTrack`.

    Args:
        read: of the masks.
        count: how many there are.
        video: opened.
        where: they are read from, for messages.
        close: what has to be closed with them.

    Raises:
        BadVideoError: the video has more or fewer frames.
    """

    def __init__(
        self, read: ReadMasks, count: int, video: Video, *, where: Path, close: Callable[[], None] = lambda: None
    ) -> None:
        self._timestamps, self._duration = video.timestamps, video.duration
        if count != len(self._timestamps):
            close()
            raise BadVideoError(
                "unreadable",
                f"{where} has {count} masks, the video {len(self._timestamps)} frames: there has to be one for each",
            )
        self._masks = read
        self._close = close

    @property
    def duration(self) -> float:
        """The duration of the video."""
        return self._duration

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """Read the masks of the frames shown at ``times``; see :class:`.tracks.VideoTrack`."""
        needed, place = frames_shown(self._timestamps, times)
        return in_order(resize_masks(self._masks(needed), size), place)

    def close(self) -> None:
        """Close the file."""
        self._close()


class MaskFiles:
    """The masks in a folder, in any of the forms above.

    Args:
        folder: DATA.MASK_DIR.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(os.path.expanduser(folder))
        if not self._folder.is_dir():
            raise ConfigError(f"DATA.MASK_DIR = {folder!r} is no folder.")

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """Open the masks of an opened video.

        Raises:
            BadVideoError: there are none or several, they cannot be read, or they are not one for each frame.
        """
        path = self._find(record)
        if path.is_dir():
            names = sorted((name for name in os.listdir(path) if is_image(name)), key=natural_order)
            files = [str(path / name) for name in names]
            return FrameMasks(lambda needed: _images([files[n] for n in needed]), len(files), video, where=path)
        if path.suffix == ".npz":
            array = _array(path)
            return FrameMasks(array.__getitem__, len(array), video, where=path)
        second = FileVideo(str(path))
        count = len(second.timestamps)
        return FrameMasks(partial(_brightness, second), count, video, where=path, close=second.close)

    def _find(self, record: VideoRecord) -> Path:
        name = PurePath(record.name)
        parts = [part for part in name.parts if part not in (name.anchor, "..")]
        stem = os.path.join(*parts or [os.path.basename(os.path.realpath(record.path))])
        stem = os.path.splitext(stem)[0] if is_video(stem) else stem
        names = [f"{stem}.npz", stem, *(f"{stem}{suffix}" for suffix in sorted(VIDEO_SUFFIXES))]
        found = [self._folder / name for name in names if (self._folder / name).exists()]
        if len(found) > 1:
            raise BadVideoError("unreadable", f"{found[0]} and {found[1]} are both masks of it: leave one")
        if not found:
            raise BadVideoError(
                "missing", f"DATA.MASK_DIR has no mask of it: no {self._folder / stem}.npz, .mp4 or folder"
            )
        return found[0]


@TRACK.register(name="mask")
class MaskTrack(Track):
    """Masks of a video's pixels, one label each, 0 for the background; of DATA.MASK_DIR, else the videos' own.

    Raises:
        ConfigError: there is no such folder, or it is empty and the videos know no masks.
    """

    title = "mask"
    dtype = np.uint8

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        self._files = MaskFiles(cfg.DATA.MASK_DIR) if cfg.DATA.MASK_DIR else None
        if self._files is None and not isinstance(source, MaskSource):
            raise ConfigError(
                "DATA.MASK_DIR is empty, and masks are needed: set it to a folder that has NAME.npz, a folder NAME of "
                "images, or a video NAME.mp4 for each video NAME."
            )
        self._source = source

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`.tracks.Track`."""
        if self._files is not None:
            return self._files.open(record, video)
        assert isinstance(self._source, MaskSource)  # else there was an error
        return self._source.open_mask(record)


def resize_masks(masks: np.ndarray, size: FrameSize) -> np.ndarray:
    """Resize masks ``(T, h, w)`` to ``(T, height, width, 1)``; each pixel is the one at its centre, as labels cannot be
    averaged."""
    own = masks.shape[1:]
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(int) for new, old in zip(size(*own), own, strict=True)
    )
    return masks[:, rows[:, None], columns][..., None]


def _brightness(video: FileVideo, numbers: np.ndarray) -> np.ndarray:
    """1 where frames of these numbers are at least half as bright as white."""
    frames = video.read(video.timestamps[numbers].tolist(), lambda height, width: (height, width))
    return (frames.mean(-1) >= _FOREGROUND).astype(np.uint8)


def _array(path: Path) -> np.ndarray:
    """The one array in a file, uint8."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadVideoError("unreadable", f"{path}: {error}") from error
    if len(arrays) != 1:
        raise BadVideoError("unreadable", f"{path} holds the arrays {sorted(arrays)}, and one is what is asked for")
    (array,) = arrays.values()
    if array.ndim != 3 or array.dtype not in (np.dtype(np.uint8), np.dtype(bool)):
        raise BadVideoError(
            "unreadable", f"{path} holds {array.dtype} {array.shape}: uint8 or bool (frames, height, width) is needed"
        )
    return array.astype(np.uint8)


def _images(paths: Sequence[str]) -> np.ndarray:
    """Masks in image files, ``(T, h, w)``."""
    masks = [_image(path) for path in paths]
    other = next((path for path, mask in zip(paths, masks, strict=True) if mask.shape != masks[0].shape), None)
    if other is not None:
        raise BadVideoError("unreadable", f"{other} has another size than {paths[0]}")
    return np.stack(masks)


def _image(path: str) -> np.ndarray:
    try:
        with Image.open(path) as file:
            image, compressed = ImageOps.exif_transpose(file), file.format in ("JPEG", "WEBP")
            values = np.asarray(image.convert("L") if compressed else image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise BadVideoError("unreadable", f"{path}: {error}") from error
    if compressed:
        return (values >= _FOREGROUND).astype(np.uint8)
    if image.mode in ("RGB", "RGBA") and (values[..., :3] == values[..., :1]).all():
        return values[..., 0]
    if image.mode not in ("1", "L", "P"):
        raise BadVideoError("unreadable", f"{path} is of mode {image.mode}: a mask has one label of 8 bits a pixel")
    return values.astype(np.uint8)
