"""Annotations of folders of videos, with subfolders as classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import DataError
from ...storage import Address
from ...video.frame_folder import is_image, natural_order
from .entries import Entry
from .files import is_video


def folder_entries(folder: Path | Address) -> Iterator[Entry]:
    """The entries of a folder: each subfolder is a class when all videos lie in subfolders; with a video directly in
    it, it is a list of videos without labels.

    Subfolders that are all called by numbers (``0`` .. ``399``) are those numbers.

    Raises:
        DataError: a folder cannot be read.
    """
    if isinstance(folder, Address):
        names = sorted(filter(is_video, folder.files_below()), key=natural_order)
        paths = [str(folder / name) for name in names]
    else:
        paths = sorted(_videos_below(str(folder)), key=natural_order)
        names = [os.path.relpath(path, folder) for path in paths]
    yield from named_entries(names, paths)


def named_entries(names: Sequence[str], paths: Sequence[str]) -> Iterator[Entry]:
    """The entries of videos by their names below a folder; see :func:`folder_entries`."""
    # A video has the name of its class in front when it does not lie (or, for frame images, is not a folder) in the
    # top folder.
    classes = [Path(name).parts[0] if len(Path(name).parts) > 1 else "" for name in names]
    labelled = all(classes)
    numbered = labelled and all(name.isascii() and name.isdecimal() for name in classes)
    for path, name, class_name in zip(paths, names, classes, strict=True):
        label = (int(class_name) if numbered else class_name) if labelled else None
        yield Entry(where=path, name=Path(name).as_posix(), label=label)


def _videos_below(folder: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back up
        return
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        folders = [entry.path for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error}") from error
    videos = [entry.path for entry in entries if is_video(entry.name)]
    videos = [path for path in videos if path not in folders]
    if not folders and not videos and any(is_image(entry.name) for entry in entries):
        yield folder
    yield from videos
    for inner in folders:
        yield from _videos_below(inner, seen | {real})
