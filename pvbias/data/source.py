"""The DATASET entry "videos": files and frame folders that an annotation lists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fvcore.common.config import CfgNode

from ..config.lists import is_default, split_path, stream_path, video_list
from ..errors import DataError
from ..registries import DATASET
from ..storage import Address, expand, is_address
from ..storage.local_cache import LocalCache, current_cache, use_cache
from ..video.frame_folder import FrameFolder
from ..video.stored import open_file
from ..video.video import Video
from .annotations import Annotation, read_annotation, read_class_names
from .extents import MISSING, extents
from .record_list import field_of
from .records import VideoRecord, VideoSource


class VideoFiles:
    """Videos in files and in folders of frame images; implements :class:`pvbias.data.VideoSource`.

    Args:
        annotation: what there is.
        fps: the rate of frame images, frames per second.
        frame_prefix: DATA.FRAME_PREFIX, of frame images.
    """

    def __init__(self, annotation: Annotation, *, fps: float, frame_prefix: str | None = None) -> None:
        self._annotation = annotation
        self._fps = fps
        self._frame_prefix = frame_prefix
        self._cache = current_cache()

    @property
    def records(self) -> Sequence[VideoRecord]:
        """The records in annotation order."""
        return self._annotation.records

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes 0 .. K-1; empty when they have none."""
        return self._annotation.class_names

    @property
    def own_names(self) -> bool:
        """Whether class names are numbered by their own order, for want of another."""
        return self._annotation.own_names

    @property
    def labels_by_name(self) -> bool:
        """True where the list writes labels as class names, False where as numbers."""
        return self._annotation.by_name

    @property
    def description(self) -> str:
        """The annotation's path."""
        return self._annotation.path

    def open(self, record: VideoRecord) -> Video:
        """Open a video.

        Raises:
            BadVideoError: it cannot be had.
            DataError: a local copy of it cannot be kept (:mod:`pvbias.storage`).
        """
        if not is_address(record.path) and os.path.isdir(record.path):
            return FrameFolder(record.path, fps=self._fps, prefix=self._frame_prefix)
        return open_file(record.path, self._cache)

    def missing(self) -> list[int]:
        """Numbers of the records whose file or folder is not there."""
        return np.flatnonzero(extents(self.records) == MISSING).tolist()


def build_source(cfg: CfgNode, split: str) -> VideoSource:
    """Build the source of a split, which TRAIN.DATASET ("train", "val") or TEST.DATASET ("test") names.

    Raises:
        DataError: the annotation cannot be read.
    """
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    return DATASET.get(name)(cfg, split)


@DATASET.register(name="videos")
def build_video_files(cfg: CfgNode, split: str) -> VideoFiles:
    """Read the annotation of a split (DATA.TRAIN_SPLIT, DATA.VAL_SPLIT, DATA.TEST_SPLIT); see
    :func:`pvbias.data.annotations.read_annotation`.

    Class names become numbers by DATA.CLASS_NAMES_FILE, else by the training split where there is one (so that a test
    split which lacks a class agrees with it), else by the sorted names of the split itself.
    """
    path = video_list(cfg, split)
    return _video_files(cfg, path, cfg.DATA.PATH_PREFIX, **_class_names(cfg, of_training=split == "train"))


def read_video_files(cfg: CfgNode, path: str, *, path_prefix: str, labelled: bool) -> VideoFiles:
    """Read another list than the splits' as a source.

    Args:
        cfg: completed configuration.
        path: of the list; may be relative to DATA.PATH_TO_DATA_DIR.
        path_prefix: in the place of DATA.PATH_PREFIX.
        labelled: class names become numbers as those of a validation split do; else they may be any, and their numbers
            mean nothing.
    """
    full = stream_path(cfg, path)
    return _video_files(cfg, full, path_prefix, **_class_names(cfg, of_training=False) if labelled else {})


def _class_names(cfg: CfgNode, *, of_training: bool) -> dict[str, Any]:
    """The origin of class numbers, for :func:`pvbias.data.annotations.read_annotation`."""
    file = cfg.DATA.CLASS_NAMES_FILE

    def other_names() -> Sequence[str]:
        """Asked for only where the list has names: numbers do not get any from a checkpoint or another list."""
        if is_checkpoint(file):
            from .labels import checkpoint_names  # with the zoo, which processes that load videos do without

            names = checkpoint_names(file)
            if not names:
                raise DataError(
                    f"DATA.CLASS_NAMES_FILE = {file!r} does not know the names of its classes: name a text file."
                )
            return names
        training = split_path(cfg, "train")
        if of_training or training is None or (is_default(cfg, "train") and not training.exists()):
            return ()
        return _read(cfg, training, cfg.DATA.PATH_PREFIX).class_names

    known = () if is_checkpoint(file) else read_class_names(file) if file else ()
    return {"class_names": known, "training_names": other_names}


def _video_files(cfg: CfgNode, path: Path | Address, path_prefix: str, **names: Any) -> VideoFiles:
    use_cache(LocalCache(cfg.DATA.CACHE_DIR, int(cfg.DATA.CACHE_GIB * 2**30)))
    annotation = _read(cfg, path, path_prefix, **names)
    # None before the configuration is completed, when only the labels are of interest.
    return VideoFiles(annotation, fps=cfg.DATA.TARGET_FPS or 30.0, frame_prefix=cfg.DATA.FRAME_PREFIX)


def _read(cfg: CfgNode, path: Path | Address, path_prefix: str, **names: Any) -> Annotation:
    data = cfg.DATA
    return read_annotation(
        path,
        path_prefix=path_prefix,
        list_format=data.LIST_FORMAT,
        first_label=data.LABELS_START_AT,
        names_from=data.CLASS_NAMES_FILE or str(split_path(cfg, "train")),
        **names,
    )


def is_checkpoint(file: str) -> bool:
    """Whether a path or address is of weights, which may know the names of their classes, and not of a list of
    names."""
    if is_address(file):
        return Address(file).suffix.lower() not in {".txt", ".csv", ".tsv", ".json"}
    return Path(file).suffix.lower() in {".pyth", ".pth", ".pt"} or (file != "" and expand(file).is_dir())


def count_classes(source: VideoSource) -> int:
    """K: the number of class names, or one more than the largest label.

    Raises:
        DataError: the source has neither.
    """
    if source.class_names:
        return len(source.class_names)
    labels = {*field_of(source.records, "label")} - {None}
    if not labels:
        raise DataError(
            "The videos have no labels, so there is no telling how many classes there are: set MODEL.NUM_CLASSES."
        )
    return max(labels) + 1
