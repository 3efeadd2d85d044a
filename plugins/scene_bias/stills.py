"""Folders of still images as videos, one place a subfolder: each image is a clip that stands still."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fvcore.common.config import CfgNode

from pvbias.data import RecordList, VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.registries import DATASET
from pvbias.video.frame_folder import ImageFiles, is_image, natural_order

#: Attribute of a still's record: its place.
PLACE = "place"

#: Of the images of a place that come without a split, every fifth is held out.
_HELD_OUT = 5

#: One image is shown for a second.
_FPS = 1.0


@dataclass(frozen=True)
class StillImages:
    """Images as videos of one frame, which a clip of any length repeats; a source (:class:`pvbias.data.VideoSource`).

    Attributes:
        description: the folder, and how many images of how many places.
        class_names: the places.
        records: have the place as the attribute ``place``, and as their label where that was asked for.
    """

    description: str
    class_names: Sequence[str]
    records: Sequence[VideoRecord]

    def open(self, record: VideoRecord) -> ImageFiles:
        """See :class:`pvbias.data.VideoSource`."""
        return ImageFiles([record.path], fps=_FPS)


def still_images(folder: str, split: str, *, labelled: bool = True) -> StillImages:
    """The still images of a split.

    Args:
        folder: a subfolder of images (to any depth) for each place. Where it has a subfolder ``train`` beside ``test``,
            ``val`` or both, those have the places; else every fifth image of a place, in natural order, is held out.
        split: "train"; or "val" or "test", of which one stands for the other where there is one alone.
        labelled: with the place as label.

    Raises:
        ConfigError: there is no such folder, or it has fewer than two places.
        DataError: a place has no image, or two splits have other places.
    """
    root = Path(folder)
    if not folder or not root.is_dir():
        raise ConfigError(f"SCENE_BIAS.PLACES_DIR = {folder!r} is no folder: give one with a subfolder for each place.")
    held_out = [name for name in ("test", "val") if (root / name).is_dir()]
    parted = (root / "train").is_dir() and bool(held_out)
    training = root / "train" if parted else root
    places = _folders(training)
    if len(places) < 2:
        raise ConfigError(f"SCENE_BIAS.PLACES_DIR: {training} has {len(places)} subfolders, and places are told apart.")
    if parted and split != "train":
        root = root / (split if split in held_out else held_out[0])
        others = _folders(root)
        if others != places:
            odd = sorted(set(others) ^ set(places), key=natural_order)
            raise DataError(f"{root} and {training} have different places: {', '.join(odd[:5])}.")
    else:
        root = training
    records = []
    for number, place in enumerate(places):
        images = _images(root, place)
        if not parted:
            images = [path for index, path in enumerate(images) if (index % _HELD_OUT == 0) == (split != "train")]
        if not images:
            raise DataError(f"{root / place} (SCENE_BIAS.PLACES_DIR) has no image for the split {split!r}.")
        label = number if labelled else None
        records += [
            VideoRecord(path=str(root / path), name=path, label=label, attributes={PLACE: place}) for path in images
        ]
    described = f"{root}: {len(records)} still images of {len(places)} places"
    return StillImages(described, tuple(places), RecordList.of(records))


def _folders(folder: Path) -> list[str]:
    return sorted((entry.name for entry in os.scandir(folder) if entry.is_dir()), key=natural_order)


def _images(root: Path, place: str) -> list[str]:
    """Paths relative to ``root`` of the images below a place's folder, in natural order."""
    found = [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root / place)
        for name in names
        if is_image(name)
    ]
    return sorted(found, key=natural_order)


@DATASET.register(name="still_images")
def build_still_images(cfg: CfgNode, split: str) -> StillImages:
    """Still images of SCENE_BIAS.PLACES_DIR, one place a subfolder, as videos that stand still."""
    return still_images(cfg.SCENE_BIAS.PLACES_DIR, split)
