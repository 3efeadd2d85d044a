"""The DATASET entry "videos": files and folders that an annotation names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from fvcore.common.config import CfgNode

from ..errors import DataError
from ..registries import DATASET
from .annotations import Annotation, read_annotation, read_class_names
from .decoding import FileVideo
from .frame_folder import FrameFolder
from .video import Video, VideoRecord, VideoSource


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

    @property
    def records(self) -> Sequence[VideoRecord]:
        """In annotation order."""
        return self._annotation.records

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes 0 .. K-1; empty when they have none."""
        return self._annotation.class_names

    @property
    def description(self) -> str:
        """The annotation's path."""
        return self._annotation.path

    def open(self, record: VideoRecord) -> Video:
        """Open a video.

        Raises:
            BadVideoError: it cannot be had.
        """
        if os.path.isdir(record.path):
            return FrameFolder(record.path, fps=self._fps, prefix=self._frame_prefix)
        return FileVideo(record.path)


def build_source(cfg: CfgNode, split: str) -> VideoSource:
    """The videos of a split: what TRAIN.DATASET ("train", "val") or TEST.DATASET ("test") names.

    Raises:
        DataError: the annotation cannot be read.
    """
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    return DATASET.get(name)(cfg, split)


@DATASET.register(name="videos")
def build_video_files(cfg: CfgNode, split: str) -> VideoFiles:
    """What DATA.TRAIN_SPLIT, DATA.VAL_SPLIT or DATA.TEST_SPLIT names; see
    :func:`pvbias.data.annotations.read_annotation`.

    Class names become numbers by DATA.CLASS_NAMES_FILE, else by the training split where there is one (so that a test
    split which lacks a class agrees with it), else by the sorted names of the split itself.
    """
    names = read_class_names(cfg.DATA.CLASS_NAMES_FILE) if cfg.DATA.CLASS_NAMES_FILE else ()
    training = split_path(cfg, "train")

    def training_names() -> Sequence[str]:
        if split == "train" or not training.exists():
            return ()
        return read_annotation(training, path_prefix=cfg.DATA.PATH_PREFIX).class_names

    annotation = read_annotation(
        split_path(cfg, split), path_prefix=cfg.DATA.PATH_PREFIX, class_names=names, training_names=training_names
    )
    # None before the configuration is completed, when only the labels are of interest.
    return VideoFiles(annotation, fps=cfg.DATA.TARGET_FPS or 30.0, frame_prefix=cfg.DATA.FRAME_PREFIX)


def split_path(cfg: CfgNode, split: str) -> Path:
    """Where the annotation of "train", "val" or "test" is."""
    return Path(cfg.DATA.PATH_TO_DATA_DIR).expanduser() / Path(cfg.DATA[f"{split.upper()}_SPLIT"]).expanduser()


def count_classes(source: VideoSource) -> int:
    """K: the number of class names, or one more than the largest label.

    Raises:
        DataError: the source has neither.
    """
    if source.class_names:
        return len(source.class_names)
    labels = [record.label for record in source.records if record.label is not None]
    if not labels:
        raise DataError(
            "The videos have no labels, so there is no telling how many classes there are: set MODEL.NUM_CLASSES."
        )
    return max(labels) + 1


def fingerprint(source: VideoSource) -> str:
    """Tells one set of videos from another: SHA-256, hexadecimal, over the names, labels, parts and sizes (bytes of a
    file, number of entries of a folder, nothing for what is neither) of all records, in order, and over the class
    names."""
    digest = hashlib.sha256(repr(tuple(source.class_names)).encode(errors="surrogateescape"))
    for record in source.records:
        line = (record.name, record.label, record.start, record.end, _extent(record.path))
        digest.update(repr(line).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _extent(path: str) -> int | None:
    try:
        return len(os.listdir(path)) if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return None
