"""Tracks of backgrounds: what other videos, or images, show while a video runs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

import numpy as np
from fvcore.common.config import CfgNode
from PIL import Image, ImageOps

from pvbias.data import Track, VideoRecord, VideoSource
from pvbias.data.masks import MaskTrack
from pvbias.data.tracks import VideoTrack, read_clip
from pvbias.errors import ConfigError
from pvbias.registries import TRACK
from pvbias.video import BadVideoError, FrameSize, Video
from pvbias.video.frame_folder import is_image, natural_order

from .donors import Donors


class DonorTrack(Track):
    """Base of tracks of another video, its donor: RGB and a fourth channel, from the moment in the donor that is as far
    from its beginning as the video's is from its own, cut in the middle to the video's shape.

    The fourth channel is 1 where the donor's actor is, and has 2 more for each donor before it that could not be read,
    at most 3. A video without a donor is all 0, its fourth channel :data:`NO_DONOR`.
    """

    channels = 4
    of_its_frames = False
    kind: ClassVar[str]

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        self._source = source
        self._mask = MaskTrack(cfg, source)
        self._donors = Donors(cfg, source, self.kind)

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`pvbias.data.Track`."""
        return _Donor(self._source, self._mask, record, video.duration, self._donors)


class _Donor:
    def __init__(self, source: VideoSource, mask: Track, record: VideoRecord, duration: float, donors: Donors) -> None:
        self._source, self._mask = source, mask
        self._record, self._donors = record, donors
        self.duration = duration

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        height, width = size(1, 1)
        for attempt in range(_ATTEMPTS):
            donor = self._donors.of(self._record, attempt)
            if donor is None:
                break
            with suppress(BadVideoError):
                values = self._read(donor, times, height, width)
                values[..., 3] += 2 * attempt
                return values
        values = np.zeros((len(times), height, width, 4), np.uint8)
        values[..., 3] = NO_DONOR
        return values

    def _read(self, donor: VideoRecord, times: Sequence[float], height: int, width: int) -> np.ndarray:
        with closing(self._source.open(donor)) as video:
            start, end = _part(donor, video.duration)
            first, last = _part(self._record, self.duration)
            share = (np.asarray(times) - first) / max(last - first, 1e-9)
            moments = np.clip(start + share.clip(0, 1) * (end - start), start, end).tolist()
            frames, tracks = read_clip(video, donor, moments, _covering(height, width), {"mask": self._mask})
        values = np.concatenate([frames, tracks["mask"] > 0], axis=3, dtype=np.uint8)
        return _middle(values, height, width)

    def close(self) -> None:
        pass


#: Fourth channel of a video that has no donor.
NO_DONOR = 255

#: Donors that are tried, one after another.
_ATTEMPTS = 4


def _part(record: VideoRecord, duration: float) -> tuple[float, float]:
    """Beginning and end of what is meant of a video, seconds."""
    return record.start or 0.0, duration if record.end is None else record.end


def _covering(height: int, width: int) -> FrameSize:
    """The smallest size with a picture's own aspect ratio that covers ``height x width``."""

    def size(own_height: int, own_width: int) -> tuple[int, int]:
        scale = max(height / own_height, width / own_width)
        return max(math.ceil(scale * own_height - 1e-6), height), max(math.ceil(scale * own_width - 1e-6), width)

    return size


def _middle(values: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (values.shape[1] - height) // 2, (values.shape[2] - width) // 2
    return values[:, top : top + height, left : left + width]


@TRACK.register(name="donor_same")
class SameDonor(DonorTrack):
    """Another video of the same class, with its mask."""

    title, kind = "another video of its class", "same"


@TRACK.register(name="donor_random")
class RandomDonor(DonorTrack):
    """A video of another class, with its mask."""

    title, kind = "a video of another class", "random"


@TRACK.register(name="donor_close")
class CloseDonor(DonorTrack):
    """A video of a class whose backgrounds look alike, with its mask."""

    title, kind = "a video of a near class", "close"


@TRACK.register(name="donor_far")
class FarDonor(DonorTrack):
    """A video of a class whose backgrounds look otherwise, with its mask."""

    title, kind = "a video of a far class", "far"


@TRACK.register(name="donor_pairs")
class PairedDonor(DonorTrack):
    """The video that CONTRASTED.PAIRS names, with its mask."""

    title, kind = "the video that CONTRASTED.PAIRS names", "pairs"


@TRACK.register(name="image_background")
class ImageBackground(Track):
    """An image of CONTRASTED.IMAGES_DIR, drawn by the video's name, cut in the middle to its shape.

    Raises:
        ConfigError: there is no such folder, or it holds no images.
    """

    title, channels, of_its_frames = "an image", 3, False

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        folder = Path(cfg.CONTRASTED.IMAGES_DIR).expanduser()
        files = [file for file in folder.rglob("*") if is_image(file.name)] if cfg.CONTRASTED.IMAGES_DIR else []
        if not files:
            raise ConfigError(
                f"CONTRASTED.IMAGES_DIR = {cfg.CONTRASTED.IMAGES_DIR!r} is no folder with images, and backgrounds are "
                "to be images."
            )
        self._files = sorted(map(str, files), key=natural_order)
        self._seed = cfg.RNG_SEED

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`pvbias.data.Track`."""
        digest = hashlib.sha256(f"image{self._seed}/{record.name}".encode(errors="surrogatepass")).digest()
        return _Still(self._files[int.from_bytes(digest[:8], "big") % len(self._files)], video.duration)


class _Still:
    def __init__(self, file: str, duration: float) -> None:
        self._file = file
        self.duration = duration

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        height, width = size(1, 1)
        try:
            with Image.open(self._file) as opened:
                image = ImageOps.fit(opened.convert("RGB"), (width, height), Image.Resampling.BILINEAR)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise BadVideoError("unreadable", f"its background {self._file}: {error}") from error
        return np.broadcast_to(np.asarray(image), (len(times), height, width, 3))

    def close(self) -> None:
        pass
