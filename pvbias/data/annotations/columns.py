"""Recognition of a table's columns (or a JSON object's keys) by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import DataError

#: What holds the path, the likeliest first: the first group that has a column decides.
_PATHS = (
    ("path",),
    ("filepath", "videopath", "vidpath", "clippath", "relativepath", "relpath", "fullpath"),
    ("file", "filename", "video", "videofile", "videofilename", "clip", "clipname", "videoname", "vidname"),
    ("id", "videoid", "vidid", "clipid", "youtubeid", "ytid"),
    ("name",),
)
_KINDS = ("id", "idx", "index", "name", "label")
_LABELS = (
    ("label",),
    (
        *("class", "category", "action", "activity", "target", "labels", "y"),
        *(f"{thing}{kind}" for thing in ("label", "class", "category", "action") for kind in _KINDS),
    ),
)
_STARTS = (("start",), ("timestart", "starttime", "startsec", "startseconds", "tstart"))
_ENDS = (("end",), ("timeend", "endtime", "endsec", "endseconds", "tend"))
_SPLITS = (("split", "subset", "partition"),)
#: What is known to say something else of a video: neither its label nor a heading by itself.
_OTHERS = frozenset(
    {"", "fps", "frames", "numframes", "nframes", "framecount", "duration", "length", "seconds", "width", "height"}
    | {"size", "url", "iscc", "index", "unnamed0", "fold", "sha256", "md5", "license", "placeholders", "template"}
)


#: Columns without a name, and what pandas calls its index.
_UNNAMED = frozenset({"", "unnamed0"})


@dataclass(frozen=True)
class Columns:
    """The names of the columns with each meaning; empty: there is none.

    Attributes:
        identifier: the path's column holds identifiers, not paths.
        attributes: all other columns that have a name.
    """

    path: str
    label: str
    start: str
    end: str
    split: str
    identifier: bool
    attributes: tuple[str, ...]


def find_columns(names: Sequence[str], where: object, *, strict: bool = True) -> Columns | None:
    """Find the meanings of a table's columns by their names; None: there is no column of paths.

    Args:
        names: of the columns.
        where: the heading, for messages.
        strict: columns that may be the label, too, are an error beside one that is called ``label``.

    Raises:
        DataError: several columns may be the label (or the path), or none is and one of unknown meaning could be.
    """
    path = _first(_PATHS, names, where, "path")
    if not path:
        return None
    labels = [tuple(_flat(_LABELS))] if strict else _LABELS
    label = _first(labels, [name for name in names if name != path], where, "label")
    start, end, split = (_first(group, names, where, "") for group in (_STARTS, _ENDS, _SPLITS))
    meant = {path, label, start, end, split}
    if not label:
        unknown = [name for name in names if name not in meant and _plain(name) not in {*_OTHERS, *_flat(_PATHS)}]
        if unknown:
            raise DataError(
                f"{where}: no column is called label or class, and {_quoted(unknown)} may be it. Name the column of "
                "labels 'label'; leave it empty where videos have none, and the other columns are their attributes."
            )
    identifier = _plain(path) in _PATHS[-2]
    attributes = tuple(name for name in names if name not in meant and _plain(name) not in _UNNAMED)
    twice = next((name for name in attributes if attributes.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns are called {twice!r}. Keep one of them.")
    return Columns(path, label, start, end, split, identifier, attributes)


def is_heading(cells: Sequence[str], *, words: bool) -> bool:
    """Whether cells are names of columns: one of the path and one of the label or of something else that is known; that
    of the path alone; or, unless they are just ``words`` between spaces, that of the path and others."""
    plain = [_plain(cell) for cell in cells]
    paths = [name for name in plain if name in {*_flat(_PATHS)}]
    known = {*_flat((*_PATHS, *_LABELS, *_STARTS, *_ENDS, *_SPLITS)), *_OTHERS}
    if len(plain) == 1:
        return bool(paths) and paths[0] not in {"name", "clip", "y"}
    sure = {*_flat(_PATHS[:-2])}
    return bool(paths) and (sum(name in known for name in plain) >= 2 or (not words and any(n in sure for n in paths)))


def check_one_split(splits: Iterable[str], file: object, column: str) -> None:
    """Raise DataError where a list has videos of several splits, which would be trained on and tested together."""
    counts: dict[str, int] = {}
    for split in splits:
        counts[split] = counts.get(split, 0) + 1
    if len(counts) > 1:
        listed = ", ".join(f"{count} of {split!r}" for split, count in counts.items())
        raise DataError(f"{file} has videos of several splits ({column}: {listed}). Write each split to its own list.")


def _first(groups: Sequence[Sequence[str]], names: Sequence[str], where: object, meaning: str) -> str:
    for group in groups:
        found = [name for name in names if _plain(name) in group]
        if len(found) > 1:
            what = meaning or found[0]
            raise DataError(f"{where}: {_quoted(found)} may each be the {what}. Keep one of the columns.")
        if found:
            return found[0]
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _flat(groups: Sequence[Sequence[str]]) -> list[str]:
    return [name for group in groups for name in group]


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
