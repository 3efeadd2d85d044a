"""Fingerprints of lists and of sets of videos."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import PurePath
from typing import Any

from .annotations import loosely
from .attributes import Attributes
from .extents import extents
from .record_list import field_of
from .records import VideoRecord, VideoSource

#: Lines that are hashed together.
_TOGETHER = 4096


def fingerprint(source: VideoSource) -> str:
    """Fingerprint of a list of videos as it is written: SHA-256, hexadecimal, over the names, labels, parts and sizes
    (bytes of a file, number of entries of a folder, nothing for what is neither) of all records, in order, and over the
    class names."""
    digest = hashlib.sha256(repr(tuple(source.class_names)).encode(errors="surrogateescape"))
    names, labels, *parts = _fields(source, "name", "label", "start", "end")
    sizes = _extents(source.records)
    lines = map(repr, zip(names, labels, *parts, sizes, strict=True))
    if all(column.count(None) == len(column) for column in parts):  # the same texts in half the time
        rows = zip(names, labels, sizes, strict=True)
        lines = map("(%r, %r, None, None, %r)".__mod__, rows)
    while part := "".join(islice(lines, _TOGETHER)):
        digest.update(part.encode(errors="surrogateescape"))
    return digest.hexdigest()


def attributes_fingerprint(source: VideoSource, names: Sequence[str] | None = None) -> str:
    """Fingerprint of the attributes of a list of videos: SHA-256, hexadecimal, over those of all records, in order;
    empty where there are none.

    Args:
        source: the videos.
        names: of the attributes that count; None: all.
    """

    def line(own: Attributes) -> str:
        found = own.items() if names is None else [(name, own[name]) for name in names if name in own]
        return repr(sorted(found, key=itemgetter(0)))

    attributes = field_of(source.records, "attributes")
    different = {id(own): own for own in attributes}  # a million records without any share one object
    lines = {key: line(own) for key, own in different.items()}
    if not {*lines.values()} - {"[]"}:
        return ""
    return _digest_in_order([lines[id(own)] for own in attributes])


def list_fingerprints(source: VideoSource) -> dict[str, str]:
    """Fingerprints of a list of training videos, each SHA-256, hexadecimal.

    Returns:
        ``list``: over the names, labels and parts of all records, in order, and the class names (of generated videos
        over their recipe, too); ``files``: over the sizes of the files, unless one of them is not there.
    """
    sizes = _extents(source.records)
    lines = [repr(line) for line in zip(*_fields(source, "name", "label", "start", "end"), strict=True)]
    if all(size is None for size in sizes):
        lines.append(source.description)
    found = {"list": _digest_in_order([repr(tuple(source.class_names)), *lines])}
    return found if None in sizes else found | {"files": _digest_in_order(map(str, sizes))}


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
    listed, labels, starts, ends = _fields(source, "name", "label", "start", "end")
    sizes = _extents(source.records)
    # generated videos: their recipe
    recipe = [source.description] if all(size is None for size in sizes) else []

    def videos() -> Iterator[tuple[Any, ...]]:
        return zip(map(_file_name, listed), sizes, starts, ends, strict=True)

    def classes() -> Iterator[Any]:
        return (label if label is None or not 0 <= label < len(names) else names[label] for label in labels)

    # One after another: each is of as many lines as there are videos.
    return SetFingerprints(
        videos=_digest_in_order(sorted([*map(repr, videos()), *recipe])),
        label_numbers=_digest_in_order(sorted(map(repr, zip(videos(), labels, strict=True)))),
        label_names=_digest_in_order(sorted(map(repr, zip(videos(), classes(), strict=True)))) if names else "",
    )


def video_key(record: VideoRecord) -> str:
    """Identify a video within a list: its name and, where a part is meant, its seconds."""
    if record.start is None and record.end is None:
        return record.name
    return f"{record.name}\t{record.start}\t{record.end}"


def _file_name(name: str) -> str:
    leaf = name[name.rfind("/") + 1 :]
    return PurePath(name).name if leaf in ("", ".") or "\\" in leaf else leaf


def _fields(source: VideoSource, *names: str) -> list[list[Any]]:
    return [field_of(source.records, name) for name in names]


def _extents(records: Sequence[VideoRecord]) -> list[int | None]:
    return [None if extent < 0 else extent for extent in extents(records).tolist()]


def _digest_in_order(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
