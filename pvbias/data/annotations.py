"""Reading what is to be trained on or tested: CSV, JSON lines, folders."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, did_you_mean
from .frame_folder import is_image, natural_order
from .video import VideoRecord

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)

_ENDS_IN_VIDEO = re.compile(
    r"^(?P<path>.*(?:" + "|".join(re.escape(s) for s in sorted(VIDEO_SUFFIXES)) + r"))\"?(?:[\s,]+(?P<label>.*))?$",
    re.I,
)
_LAST_SEPARATOR = re.compile(r"^(?P<path>.*?)[\s,]+(?P<label>[^\s,]+)$")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A split as it was read.

    Attributes:
        path: the file or folder.
        records: in the order of the annotation (of the sorted names, for folders).
        class_names: names of the classes 0 .. K-1; empty where labels are numbers without names.
    """

    path: str
    records: tuple[VideoRecord, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """A record whose label may still be a name. ``where`` is the file and line that an error names."""

    where: str
    name: str
    path: str
    label: int | str | None = None
    start: float | None = None
    end: float | None = None


def read_annotation(
    path: str | os.PathLike,
    *,
    path_prefix: str = "",
    class_names: Sequence[str] = (),
    training_names: Callable[[], Sequence[str]] = tuple,
) -> Annotation:
    """Read a split.

    - ``.jsonl``: a line is ``{"path": ..., "label": number or class name, "start": seconds, "end": seconds}``; all
    but the path may be
      left out, and other keys are ignored.
    - a folder: each subfolder is a class when all videos lie in subfolders; with a video directly in it, it is a list
    of videos without
      labels. Subfolders are searched to any depth. A folder of nothing but images is one video.
    - any other file: a line is ``path label``, the separator white space or a comma; what follows the last one is the
    label (what
      follows a video's file name, where there is one, so that labels may have spaces; nothing may follow, too). Empty
      lines, lines that begin with ``#`` and a heading ``path,label`` are skipped.

    Labels that are names get numbers: their position in ``class_names``, else in the names of the training split,
    else in the sorted names found here. A subset that lacks a class thus keeps the numbers of the training.

    Args:
        path: file or folder.
        path_prefix: folder that relative paths are relative to; empty: the annotation's own folder.
        class_names: names in label order, if they are known.
        training_names: gives the names that the training split uses; asked only when names are to be numbered without
            ``class_names``.

    Raises:
        DataError: the annotation is missing or wrong (naming file and line), or names no video.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        entries = list(_folder_entries(path))
    elif path.is_file():
        root = Path(path_prefix).expanduser() if path_prefix else path.parent
        entries = list((_json_entries if path.suffix == ".jsonl" else _csv_entries)(path, root))
    else:
        raise DataError(
            f"There is no annotation {path}. Give a CSV of `path label` lines, a .jsonl, or a folder of videos."
        )
    if not entries:
        raise DataError(f"{path} names no video.")
    _check_one_kind(entries)
    own = sorted({entry.label for entry in entries if isinstance(entry.label, str)})
    names = tuple(class_names)
    if own:
        names = names or tuple(training_names()) or tuple(own)
    numbers = {name: number for number, name in enumerate(names)}
    records = tuple(
        VideoRecord(path=e.path, name=e.name, label=_number(e, numbers), start=e.start, end=e.end) for e in entries
    )
    return Annotation(path=str(path), records=records, class_names=names)


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """One class name a line, in label order.

    Raises:
        DataError: the file is missing, empty, or names a class twice.
    """
    names = tuple(text for _, text in _lines(Path(path).expanduser()) if text)
    if not names:
        raise DataError(f"{path} (DATA.CLASS_NAMES_FILE) names no class.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} (DATA.CLASS_NAMES_FILE) names a class twice: {', '.join(twice[:5])}")
    return names


def _number(entry: _Entry, numbers: dict[str, int]) -> int | None:
    if not isinstance(entry.label, str):
        return entry.label
    if entry.label not in numbers:
        raise DataError(f"{entry.where}: there is no class {entry.label!r}. {did_you_mean(entry.label, numbers)}")
    return numbers[entry.label]


def _check_one_kind(entries: Sequence[_Entry]) -> None:
    """Numbers and names in one file are a mistake in one of its lines."""
    by_kind: dict[type, _Entry] = {}
    for entry in entries:
        if entry.label is not None:
            by_kind.setdefault(type(entry.label), entry)
    if len(by_kind) > 1:
        number, name = by_kind[int], by_kind[str]
        raise DataError(
            f"{name.where}: the label {name.label!r} is a name, but the one in {number.where} is the number "
            f"{number.label}. Write either numbers or class names."
        )


def _csv_entries(file: Path, root: Path) -> Iterator[_Entry]:
    for where, text in _lines(file):
        if not text or text.startswith("#") or re.fullmatch(r"(?i)path[\s,]+label", text):
            continue
        match = _ENDS_IN_VIDEO.match(text) or _LAST_SEPARATOR.match(text)
        name, label = (match["path"], match["label"]) if match else (text, None)
        name = name.strip().strip('"')
        if not name:
            raise DataError(f"{where}: {text!r} has no path. A line is `path label`.")
        yield _Entry(where, name, _resolved(name, root), _number_or_name(label.strip()) if label else None)


def _json_entries(file: Path, root: Path) -> Iterator[_Entry]:
    for where, text in _lines(file):
        if not text:
            continue
        try:
            item = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: this is not JSON: {error}") from error
        if not isinstance(item, dict) or not isinstance(item.get("path"), str) or not item["path"]:
            raise DataError(f'{where}: a line is {{"path": "...", "label": ...}}, this is {text[:80]!r}')
        label = item.get("label")
        if isinstance(label, bool) or not isinstance(label, (int, str, type(None))):
            raise DataError(f"{where}: the label {label!r} is neither a number nor a name")
        start, end = (_seconds(item.get(key), key, where) for key in ("start", "end"))
        if end is not None and end <= (start or 0.0):
            raise DataError(f"{where}: the part ends ({end:g} s) before it starts ({start or 0:g} s)")
        yield _Entry(where, item["path"], _resolved(item["path"], root), label, start, end)


def _seconds(value: Any, key: str, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise DataError(f"{where}: {key!r} is {value!r}, which is no time in seconds")
    return float(value)


def _folder_entries(folder: Path) -> Iterator[_Entry]:
    paths = sorted(_videos_below(str(folder)), key=natural_order)
    names = [os.path.relpath(path, folder) for path in paths]
    # A video has the name of its class in front when it does not lie (or, for frame images, is not a folder) in the
    # top folder.
    classes = [Path(name).parts[0] if len(Path(name).parts) > 1 else None for name in names]
    labelled = None not in classes
    for path, name, class_name in zip(paths, names, classes, strict=True):
        yield _Entry(path, Path(name).as_posix(), path, class_name if labelled else None)


def _videos_below(folder: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back up
        return
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    folders = [entry.path for entry in entries if entry.is_dir()]
    videos = [entry.path for entry in entries if os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES]
    videos = [path for path in videos if path not in folders]
    if not folders and not videos and any(is_image(entry.name) for entry in entries):
        yield folder
    yield from videos
    for inner in folders:
        yield from _videos_below(inner, seen | {real})


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """("file:line", its text without white space around it)."""
    try:
        # File names need not be UTF-8: what is not is kept as it is. A byte order mark is no part of the first path.
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        yield f"{file}:{number}", line.strip()


def _number_or_name(label: str) -> int | str:
    text = label.strip('"')
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else text


def _resolved(name: str, root: Path) -> str:
    return str(root / Path(name).expanduser())
