"""The DATASET entry "videos": files and frame folders that an annotation lists."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any, TypeVar

from fvcore.common.config import CfgNode

from ..errors import DataError
from ..registries import DATASET
from ..storage import Address, is_address
from ..storage.files import sizes
from ..storage.local_cache import LocalCache, current_cache, use_cache
from ..video.frame_folder import FrameFolder
from ..video.stored import open_file
from ..video.video import Video
from .annotations import Annotation, loosely, read_annotation, read_class_names
from .annotations.files import expand
from .records import VideoRecord, VideoSource

#: Threads that look files up, and files that one of them looks up before it takes the next ones.
_THREADS = 32
_LOOKED_UP_TOGETHER = 256

_Found = TypeVar("_Found")


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
        paths = list({record.path for record in self.records})
        looked_up = _look_up(_is_missing, paths, lambda size: size is None)
        missing = {path for path, gone in zip(paths, looked_up, strict=True) if gone}
        return [index for index, record in enumerate(self.records) if record.path in missing]


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
        if of_training or training is None or (_is_default(cfg, "train") and not training.exists()):
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


def video_list(cfg: CfgNode, split: str) -> Path | Address:
    """Path of the annotation of "train", "val" or "test".

    Raises:
        DataError: the configuration names none.
    """
    path = split_path(cfg, split)
    if path is None:
        raise DataError(f"DATA.{split.upper()}_SPLIT names no annotation.")
    return path


def stream_path(cfg: CfgNode, path: str) -> Path | Address:
    """Path of the annotation of another stream."""
    return expand(cfg.DATA.PATH_TO_DATA_DIR) / expand(path)


def split_path(cfg: CfgNode, split: str) -> Path | Address | None:
    """Path of the annotation of "train", "val" or "test"; None where the configuration names none.

    A training split that nobody has named is none of a run that does not train: whatever lies in the working directory
    under the default's name has nothing to do with it.
    """
    name, folder = cfg.DATA[f"{split.upper()}_SPLIT"], cfg.DATA.PATH_TO_DATA_DIR
    unnamed = split == "train" and not cfg.TRAIN.ENABLE and not folder and _is_default(cfg, split)
    return None if not name or unnamed else expand(folder) / expand(name)


def _is_default(cfg: CfgNode, split: str) -> bool:
    from ..config import get_cfg  # not in every process that loads videos

    key = f"{split.upper()}_SPLIT"
    return cfg.DATA[key] == get_cfg().DATA[key]


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


def _look_up(
    look: Callable[[str], _Found], paths: Sequence[str], of_size: Callable[[int | None], _Found]
) -> list[_Found]:
    """Call ``look`` for each path from many threads at once: a file system over the network answers each of them
    slowly, and all of them together fast. What is at an address is looked up by its store; ``of_size`` makes the same
    of its bytes, None where it is not there."""
    addresses = [path for path in paths if is_address(path)]
    if addresses:
        stored = dict(zip(addresses, map(of_size, sizes(addresses, current_cache())), strict=True))
        on_disk = iter(_look_up(look, [path for path in paths if path not in stored], of_size))
        return [stored[path] if path in stored else next(on_disk) for path in paths]
    parts = [paths[start : start + _LOOKED_UP_TOGETHER] for start in range(0, len(paths), _LOOKED_UP_TOGETHER)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [found for part in pool.map(lambda part: [look(path) for path in part], parts) for found in part]


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for what no file name can hold
        return True
    except OSError:
        pass  # it is there, and opening it says what is wrong with it
    return False


def fingerprint(source: VideoSource) -> str:
    """Fingerprint of a list of videos as it is written: SHA-256, hexadecimal, over the names, labels, parts and sizes
    (bytes of a file, number of entries of a folder, nothing for what is neither) of all records, in order, and over the
    class names."""
    digest = hashlib.sha256(repr(tuple(source.class_names)).encode(errors="surrogateescape"))
    for record, extent in zip(source.records, _extents(source.records), strict=True):
        line = (record.name, record.label, record.start, record.end, extent)
        digest.update(repr(line).encode(errors="surrogateescape"))
    return digest.hexdigest()


def attributes_fingerprint(source: VideoSource, names: Sequence[str] | None = None) -> str:
    """Fingerprint of the attributes of a list of videos: SHA-256, hexadecimal, over those of all records, in order;
    empty where there are none.

    Args:
        source: the videos.
        names: of the attributes that count; None: all.
    """
    lines = []
    for record in source.records:
        own = record.attributes
        found = own.items() if names is None else [(name, own[name]) for name in names if name in own]
        lines.append(repr(sorted(found, key=itemgetter(0))))
    return _digest_in_order(lines) if any(line != "[]" for line in lines) else ""


def list_fingerprints(source: VideoSource) -> dict[str, str]:
    """Fingerprints of a list of training videos, each SHA-256, hexadecimal.

    Returns:
        ``list``: over the names, labels and parts of all records, in order, and the class names (of generated videos
        over their recipe, too); ``files``: over the sizes of the files, unless one of them is not there.
    """
    records = source.records
    extents = _extents(records)
    lines = [repr((record.name, record.label, record.start, record.end)) for record in records]
    if all(extent is None for extent in extents):
        lines.append(source.description)
    found = {"list": _digest_in_order([repr(tuple(source.class_names)), *lines])}
    return found if None in extents else found | {"files": _digest_in_order(map(str, extents))}


@dataclass(frozen=True, kw_only=True)
class SetFingerprints:
    """Fingerprints of a set of videos and of their labels; each SHA-256, hexadecimal.

    Attributes:
        videos: over the file names, parts and sizes of all videos. Not over the order of the list, the folder it is in,
            or the labels: the same videos with class names and without are the same videos.
        label_numbers: over which video has which number for a label.
        label_names: over which video has which class, by name in any spelling; empty where classes have no names.
    """

    videos: str
    label_numbers: str
    label_names: str


def set_fingerprints(source: VideoSource) -> SetFingerprints:
    """The fingerprints of a source's set of videos, for telling whether two runs measured the same."""
    names = [loosely(name) for name in source.class_names]
    videos, numbers, classes = [], [], []
    extents = _extents(source.records)
    for record, extent in zip(source.records, extents, strict=True):
        video = (PurePath(record.name).name, extent, record.start, record.end)
        videos.append(repr(video))
        numbers.append(repr((video, record.label)))
        label = record.label
        classes.append(repr((video, label if label is None or not 0 <= label < len(names) else names[label])))
    if all(extent is None for extent in extents):
        videos.append(source.description)  # generated videos: their recipe
    return SetFingerprints(
        videos=_digest_of(videos),
        label_numbers=_digest_of(numbers),
        label_names=_digest_of(classes) if names else "",
    )


def video_key(record: VideoRecord) -> str:
    """Identify a video within a list: its name and, where a part is meant, its seconds."""
    if record.start is None and record.end is None:
        return record.name
    return f"{record.name}\t{record.start}\t{record.end}"


def _digest_of(lines: Sequence[str]) -> str:
    return _digest_in_order(sorted(lines))


def _digest_in_order(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _extents(records: Sequence[VideoRecord]) -> list[int | None]:
    return _look_up(_extent, [record.path for record in records], lambda size: size)


def _extent(path: str) -> int | None:
    try:
        return len(os.listdir(path)) if os.path.isdir(path) else os.stat(path).st_size
    except OSError:
        return None
