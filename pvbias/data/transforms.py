"""Spatial transforms: resizing, cropping and flipping, the same way for every frame of a clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fvcore.common.config import CfgNode

from ..modalities import RGB_AND_FLOW
from ..video.flow_coding import mirror_coded_flow

#: Longer frames than this many times their short side are squeezed to it: a ribbon of 8 x 10,000 pixels would
#: otherwise fill the memory.
MAX_ASPECT = 8.0

#: Channels of a clip that are horizontal components of optical flow, by DATA.MODALITY.
_HORIZONTAL = {"flow": slice(0, 1), RGB_AND_FLOW: slice(3, None, 2)}


#: Where a corner crop lies, as shares of the room that it has: the four corners and the centre.
_CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))


@dataclass(frozen=True)
class TestViews:
    """Resizing of the short side, then one centre crop or three crops along the long side.

    Attributes:
        short_side: pixels, >= ``crop_size``.
        crop_size: pixels.
        num_crops: 1 or 3.
        center_up: a crop that cannot be exactly in the centre lies down and to the right.
    """

    __test__ = False  # not a test case, whatever pytest thinks of its name

    short_side: int
    crop_size: int
    num_crops: int
    center_up: bool = False

    @classmethod
    def from_cfg(cls, cfg: CfgNode, *, center_up: bool = False) -> TestViews:
        """The test transform of DATA.TEST_* and TEST.NUM_SPATIAL_CROPS; ``cfg`` is completed."""
        return cls(cfg.DATA.TEST_SHORT_SIDE, cfg.DATA.TEST_CROP_SIZE, cfg.TEST.NUM_SPATIAL_CROPS, center_up)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Size that frames of ``height`` x ``width`` are decoded to."""
        return short_side_to(self.short_side, height, width)

    def crops(self, frames: np.ndarray) -> list[np.ndarray]:
        """Frames ``(F, h, w, 3)`` -> for each crop, from the top or left end on, ``(F, crop, crop, 3)``, as views of
        the frames."""
        rooms = [length - self.crop_size for length in frames.shape[1:3]]
        shares = [0.5] if self.num_crops == 1 else [0.0, 0.5, 1.0]
        along_height = rooms[0] > rooms[1]
        whole = math.ceil if self.center_up else round
        corners = [
            (whole(rooms[0] * (share if along_height else 0.5)), whole(rooms[1] * (0.5 if along_height else share)))
            for share in shares
        ]
        return [_crop(frames, corner, self.crop_size) for corner in corners]


@dataclass(frozen=True, kw_only=True)
class TrainAugmentation:
    """Random resizing, cropping and flipping of training clips.

    Attributes:
        crop_size: pixels.
        short_sides: [min, max] of the short side before the crop, pixels, drawn uniformly.
        areas: [min, max] of the crop's area as a fraction of the frame's (Inception-style); empty: ``short_sides``
            instead.
        aspects: [min, max] of that crop's width / height, drawn uniformly on a logarithmic scale.
        corner_scales: sides of a square crop as fractions of the frame's short side, one of which is drawn, as is one
            of the four corners and the centre (multi-scale corner crops); empty: one of the others instead.
        flip: mirror left to right half of the time.
        horizontal: channels that are horizontal components of optical flow, as :func:`.encode_flow` codes it; None:
            there are none.
    """

    crop_size: int
    short_sides: tuple[int, int]
    areas: tuple[float, ...] = ()
    aspects: tuple[float, float] = (0.75, 1.3333)
    corner_scales: tuple[float, ...] = ()
    flip: bool = True
    horizontal: slice | None = None

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> TrainAugmentation:
        """The training transform of DATA.TRAIN_* and DATA.RANDOM_FLIP; ``cfg`` is completed."""
        data = cfg.DATA
        return cls(
            crop_size=data.TRAIN_CROP_SIZE,
            short_sides=tuple(data.TRAIN_JITTER_SCALES),
            areas=tuple(data.TRAIN_JITTER_SCALES_RELATIVE),
            aspects=tuple(data.TRAIN_JITTER_ASPECT_RELATIVE),
            corner_scales=tuple(data.TRAIN_CORNER_SCALES),
            flip=data.RANDOM_FLIP,
            horizontal=_HORIZONTAL.get(data.MODALITY),
        )

    def draw(self, rng: np.random.Generator) -> TrainView:
        """Draw the transform of one clip."""
        return TrainView(self, rng)


class TrainView:
    """A drawn transform for one training clip, for frames of any size.

    The crop is cut from a frame that the decoder has already scaled, whole, such that the crop comes out at its final
    size: one resizing for any augmentation.
    """

    def __init__(self, augmentation: TrainAugmentation, rng: np.random.Generator) -> None:
        self._augmentation = augmentation
        low, high = augmentation.short_sides
        self._short_side = int(rng.integers(low, high, endpoint=True))
        self._corner = tuple(rng.random(2))
        areas, (narrow, wide) = augmentation.areas or (1.0, 1.0), augmentation.aspects
        # As torchvision's random resized crop: the first of ten shapes that fits into the frame.
        self._areas = rng.uniform(areas[0], areas[1], 10)
        self._aspects = np.exp(rng.uniform(math.log(narrow), math.log(wide), 10))
        self._flip = augmentation.flip and rng.random() < 0.5
        if augmentation.corner_scales:
            self._short_side = round(augmentation.crop_size / rng.choice(augmentation.corner_scales))
            self._corner = _CORNERS[rng.integers(len(_CORNERS))]

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Size that frames of ``height`` x ``width`` are decoded to; no side is below the crop's."""
        if not self._augmentation.areas:
            return short_side_to(self._short_side, height, width)
        crop = self._augmentation.crop_size
        crop_height, crop_width = self._crop_shape(height, width)
        # The cap keeps a crop of a few pixels of an extreme frame from blowing the whole frame up.
        limit = crop * MAX_ASPECT
        scaled = (min(crop * height / crop_height, limit), min(crop * width / crop_width, limit))
        return max(round(scaled[0]), crop), max(round(scaled[1]), crop)

    def clip(self, frames: np.ndarray) -> np.ndarray:
        """Frames ``(T, h, w, 3)`` of that size -> the clip ``(T, crop, crop, 3)``."""
        clip = self._cropped(frames)
        if self._flip:
            horizontal = self._augmentation.horizontal
            clip = clip[:, :, ::-1] if horizontal is None else mirror_coded_flow(clip, horizontal)
        return clip

    def track(self, values: np.ndarray, mirror: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Crop and flip a track of the frames, ``(T, h, w, D)``, to that of the clip, ``(T, crop, crop, D)``.

        Args:
            values: of that size.
            mirror: gives those of frames that are mirrored left to right.
        """
        cropped = self._cropped(values)
        return mirror(cropped) if self._flip else cropped

    def _cropped(self, frames: np.ndarray) -> np.ndarray:
        crop = self._augmentation.crop_size
        rooms = [length - crop for length in frames.shape[1:3]]
        top, left = (min(int(share * (room + 1)), room) for share, room in zip(self._corner, rooms, strict=True))
        return _crop(frames, (top, left), crop)

    def _crop_shape(self, height: int, width: int) -> tuple[float, float]:
        """Height and width, in pixels of the original frame, of what is cropped."""
        for share, aspect in zip(self._areas, self._aspects, strict=True):
            area = share * height * width
            crop_height, crop_width = math.sqrt(area / aspect), math.sqrt(area * aspect)
            if crop_height <= height and crop_width <= width:
                return crop_height, crop_width
        low, high = self._augmentation.aspects
        return min(height, width / low), min(width, height * high)


def short_side_to(length: int, height: int, width: int) -> tuple[int, int]:
    """``height`` x ``width`` scaled so that the short side is ``length``, the aspect limited to MAX_ASPECT."""
    scale = length / min(height, width)
    longest = round(length * MAX_ASPECT)
    tall, wide = (min(max(round(side * scale), length), longest) for side in (height, width))
    return tall, wide


def _crop(frames: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    top, left = corner
    return frames[:, top : top + size, left : left + size]
