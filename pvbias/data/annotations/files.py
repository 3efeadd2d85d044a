"""Search for the video files that a list names."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from ...errors import DataError
from ...storage import Address, expand, is_address
from ...storage.addresses import file_names
from ...storage.local_cache import current_cache
from ...storage.shards import Shards
from ...video.video import BadVideoError
from .entries import Entry
from .names import loosely

#: Suffixes of the files that are taken for videos.
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)

#: Characters at the end of a name that tell of nearly all videos that they are one.
_LOOKED_AT = 8

#: Folders below the root that are searched for clips: split, class.
_DEPTH = 2


def is_video(name: str) -> bool:
    """Whether a file name has a video's suffix."""
    end = name.rfind(".")
    # A name of nothing but a suffix has none.
    return name[end:].lower() in VIDEO_SUFFIXES and name[name.rfind("/", 0, end) + 1 : end].strip(".") != ""


def are_videos(names: Sequence[str]) -> bool:
    """Whether all file names have a video's suffix. Of many names there are few different ends to look at."""
    return all(map(is_video, {name[-_LOOKED_AT:] for name in names})) or all(map(is_video, names))


class Files:
    """Cached listing of the files and folders below a root.

    Args:
        root: folder that relative names start from.
    """

    def __init__(self, root: Path | Address) -> None:
        self.root = root
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._beginnings: dict[str, str] = {}

    def find(self, entry: Entry) -> str | None:
        """The path of an entry's video, where there is something; None otherwise.

        A name without a video's suffix may be a folder of frames, or a video whose suffix the list leaves out.

        Raises:
            DataError: two videos differ only in the suffix that the list leaves out.
        """
        folder, name = os.path.split(self.path(entry.name))
        found = self._names(folder).get(name, [])
        if len(found) > 1 and name not in found:
            raise DataError(f"{entry.where}: {entry.name!r} may be {found[0]!r} or {found[1]!r} in {folder}.")
        return os.path.join(folder, name if name in found else found[0]) if found else None

    def path(self, name: str) -> str:
        """The path of a name below the root, whether or not something is there; an address is its own."""
        if is_address(name):
            return name
        folder, leaf = name[: (end := name.rfind("/") + 1)], name[end:]
        if name.startswith("~") or leaf in ("", ".") or (isinstance(self.root, Address) and self.root.is_on_web):
            return str(self.root / expand(name))
        if folder not in self._beginnings:  # pathlib once for each folder, not for each of 100,000 files
            self._beginnings[folder] = str(self.root / folder / "x")[:-1]
        return self._beginnings[folder] + leaf

    def paths(self, names: Sequence[str]) -> list[str]:
        """:meth:`path` of each of many names of videos."""
        together = "\n".join(names)
        if isinstance(self.root, Address) or "://" in together or "~" in together:
            return [*map(self.path, names)]
        folders = [name[: name.rfind("/") + 1] for name in names]
        beginnings = {folder: self.path(f"{folder}x")[:-1] for folder in {*folders}}
        return [beginnings[folder] + name[len(folder) :] for folder, name in zip(folders, names, strict=True)]

    def _names(self, folder: str) -> dict[str, list[str]]:
        """Names in a folder, under themselves and, videos, under what they are without their suffix."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            for name in sorted(_list(folder)):
                names.setdefault(name, []).append(name)
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in VIDEO_SUFFIXES:
                    names.setdefault(stem, []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


class ShardFiles:
    """The files in tar shards, as :class:`Files` has those below a folder.

    Args:
        shards: the tar files.
    """

    def __init__(self, shards: Shards) -> None:
        self.root = shards
        self._by_stem: dict[str, list[str]] = {}
        for name in shards:
            if is_video(name):
                self._by_stem.setdefault(os.path.splitext(name)[0], []).append(name)

    def find(self, entry: Entry) -> str | None:
        """See :meth:`Files.find`."""
        found = [entry.name] if entry.name in self.root else self._by_stem.get(entry.name, [])
        if len(found) > 1:
            raise DataError(f"{entry.where}: {entry.name!r} may be {found[0]!r} or {found[1]!r} in {self.root}.")
        return self.path(found[0]) if found else None

    def path(self, name: str) -> str:
        """See :meth:`Files.path`."""
        return name if is_address(name) else self.root.path(name)

    def paths(self, names: Sequence[str]) -> list[str]:
        """See :meth:`Files.paths`."""
        return [*map(self.path, names)]


def find_clips(entries: Sequence[Entry], root: Path | Address | Shards) -> dict[Entry, str]:
    """Find the files (or folders of frames) of clips that a list names by identifier and time.

    They have the usual names, ``ID_000010_000020`` (whole seconds) or ``ID``, and lie in ``root``, in the folder of
    their class, or in that of their split. Where several have the same name, the one in the folder of its class is
    meant. A file ``ID`` has to hold just the part, not the whole video that it was cut from.

    Args:
        entries: with ``clip`` set.
        root: folder or shards to search.

    Returns:
        The paths of those that are there.

    Raises:
        DataError: more than one file may be meant, or the files are not cut.
    """
    whole: dict[str, list[Entry]] = {}
    for entry in entries:
        whole.setdefault(entry.name, []).append(entry)
    wanted = {clip_name(entry) for entry in entries} | whole.keys()
    found = _search(str(root), wanted) if isinstance(root, Path) else _search_listed(root, wanted)
    paths: dict[Entry, str] = {}
    uncut: list[Entry] = []
    for entry in entries:
        cut = found.get(clip_name(entry))
        places = cut or found.get(entry.name, [])
        of_class = [
            place for place in places if loosely(os.path.basename(os.path.dirname(place))) == loosely(entry.label)
        ]
        if len(places) > 1 and len(of_class) != 1:
            raise DataError(f"{entry.where}: the clip may be {places[0]!r} or {places[1]!r}. Remove one of them.")
        if places:
            paths[entry] = (of_class or places)[0]
            if not cut:
                uncut.append(entry)
    for entry in uncut:
        if len(whole[entry.name]) > 1:
            other = next(other for other in whole[entry.name] if other is not entry)
            raise DataError(
                f"{entry.where}: {paths[entry]!r} may be this clip or the one of {other.where}, another part of the "
                f"same video. Name files as {clip_name(entry)!r}."
            )
    for entry in uncut[:: max(len(uncut) // 3, 1)]:
        _check_cut(entry, paths[entry])
    return paths


def clip_name(entry: Entry) -> str:
    """``ID_000010_000020``: the name that Kinetics' own programs give to a clip's file."""
    return f"{entry.name}_{round(entry.start or 0):06d}_{round(entry.end or 0):06d}"


def _check_cut(entry: Entry, path: str) -> None:
    """Raise DataError where a file is longer than the part that it should hold."""
    from ...video.stored import open_file  # which reads no lists: only what is found here has to be opened

    if entry.end is None or os.path.isdir(path):
        return
    try:
        video = open_file(path, current_cache())
    except BadVideoError:
        return  # reported when its turn comes
    seconds = video.duration
    video.close()
    part = entry.end - (entry.start or 0.0)
    if seconds > part + 2.0:
        raise DataError(
            f"{entry.where}: the clip lasts {part:g} s, and {path!r} {seconds:.1f} s: the files are whole videos, not "
            f"the parts that the list means. Cut them (as {clip_name(entry)!r}), or write a .jsonl with the path, the "
            "label, and start and end in seconds."
        )


def _search(root: str, wanted: Collection[str], depth: int = _DEPTH) -> dict[str, list[str]]:
    """Find videos and folders with one of the wanted names (without suffix), at most ``depth`` folders below
    ``root``."""
    found: dict[str, list[str]] = {}
    for name in sorted(_list(root)):
        path = os.path.join(root, name)
        stem = os.path.splitext(name)[0] if is_video(name) else name
        if stem in wanted:
            found.setdefault(stem, []).append(path)
        elif depth and not is_video(name) and os.path.isdir(path):
            for inner, paths in _search(path, wanted, depth - 1).items():
                found.setdefault(inner, []).extend(paths)
    return found


def _search_listed(root: Address | Shards, wanted: Collection[str]) -> dict[str, list[str]]:
    """As :func:`_search`, of videos in a store or in shards."""
    names = root.files_below() if isinstance(root, Address) else root
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        stem = os.path.splitext(os.path.basename(name))[0]
        if is_video(name) and name.count("/") <= _DEPTH and stem in wanted:
            found.setdefault(stem, []).append(str(root / name) if isinstance(root, Address) else root.path(name))
    return found


def _list(folder: str) -> list[str]:
    """Names in a folder; none where it is not there or cannot be read, which a missing file then reports."""
    if is_address(folder):
        return file_names(folder)
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except (OSError, ValueError):
        return []
