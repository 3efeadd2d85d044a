"""What the official files of a data set say: videos with labels and attributes by split, and the files themselves."""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvbias.data.annotations.entries import Where
from pvbias.data.annotations.names import ClassNumbers
from pvbias.data.annotations.text import read_text
from pvbias.data.attributes import Attribute
from pvbias.errors import DataError, did_you_mean

#: Folders below the one that is given in which official files are looked for.
_DEPTH = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class OfficialVideo:
    """A video as an official file lists it.

    Attributes:
        where: file and line.
        name: as the file writes it.
        label: class name, or None.
        classes: all of its classes, of a multi-label data set, which has no ``label``.
        clip_names: names, without suffix, that a file of just this clip may have on disk, the likeliest first; with the
            folder in front where the official file has one.
        source_names: likewise of a file of the whole video, of which ``start`` to ``end`` is meant.
        start, end: seconds in the whole video; None: all of it.
        source: identifies the video or recording that the clip is cut from; empty: unknown. Clips of one source in
            training and in testing are a leak.
        attributes: what else is said of it.
    """

    where: object
    name: str
    label: str | None = None
    classes: tuple[str, ...] = ()
    clip_names: tuple[str, ...] = ()
    source_names: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    source: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(kw_only=True)
class Official:
    """The content of a data set's official files.

    Attributes:
        class_names: in official order.
        splits: the videos of each split whose files are there, by its name, in the order of the files.
        absent: why a split is not there, by its name.
        notes: what a user should know of these files.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[OfficialVideo]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class OfficialFiles:
    """The files in a folder of annotations, found by their official names.

    Args:
        folder: searched to a depth of three folders.

    Raises:
        DataError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} of official files (--annotations).")
        self.folder = folder
        #: Those that have been read.
        self.used: list[Path] = []
        self._paths: dict[str, list[Path]] = {}
        for path in _files_below(folder):
            self._paths.setdefault(path.name, []).append(path)

    def find(self, *names: str) -> Path | None:
        """The first of some alternative names that is there.

        Raises:
            DataError: two different files have it.
        """
        for name in names:
            paths = self._paths.get(name, [])
            if len({path.read_bytes() for path in paths}) > 1:
                raise DataError(
                    f"{paths[0]} and {paths[1]} have the same name and are different files: give the folder of one of "
                    "them as --annotations."
                )
            if paths:
                if paths[0] not in self.used:
                    self.used.append(paths[0])
                return paths[0]
        return None

    def require(self, *names: str) -> Path:
        """The first of some alternative names that is there.

        Raises:
            DataError: none of them is there, or two different files have it.
        """
        path = self.find(*names)
        if path is None:
            raise DataError(self.absent(*names))
        return path

    def of_splits(self, official: Official, names: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Path]]:
        """The splits whose files are there, and their files; ``official.absent`` says why others are not.

        Args:
            official: gets the reasons.
            names: alternative names of each split's file.
        """
        for split, known in names.items():
            path = self.find(*known)
            if path is None:
                official.absent[split] = self.absent(*known)
            else:
                yield split, path

    def absent(self, *names: str) -> str:
        """The sentence that says that none of some alternative names is there, and what is."""
        there = sorted(self._paths)
        shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
        wanted = " or ".join(names[:3]) + (" or the like" if len(names) > 3 else "")
        return f"there is no {wanted} in {self.folder}, which has {shown or 'no files'}"

    def matching(self, pattern: str) -> list[Path]:
        """All files whose names match a shell pattern, by name."""
        names = sorted(name for name in self._paths if fnmatch.fnmatchcase(name, pattern))
        return [self.require(name) for name in names]

    def about(self) -> list[dict[str, Any]]:
        """Path, bytes and SHA-256 of each file that has been read."""
        return [
            {"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path in self.used
            for content in [path.read_bytes()]
        ]


def _files_below(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield folder / entry.name
        elif entry.is_dir() and depth:
            yield from _files_below(folder / entry.name, depth - 1)


def lines_of(path: Path) -> list[tuple[Where, str]]:
    """All lines that are not empty, without white space around them. Those that begin with ``#`` too: names of
    HMDB51's videos do."""
    lines = enumerate(map(str.strip, read_text(path).split("\n")), 1)
    return [(Where(path, number), line) for number, line in lines if line]


def table_of(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[tuple[Where, dict[str, str]]]:
    """The rows of a table with a heading, each as a mapping.

    Raises:
        DataError: the heading lacks one of ``columns``, or a row has another number of cells.
    """
    rows = csv.reader(io.StringIO(read_text(path)), delimiter=delimiter)
    heading = next(rows, [])
    lacking = [name for name in columns if name not in heading]
    if lacking:
        raise DataError(
            f"{path}: the heading has no column {lacking[0]!r}: {', '.join(heading)[:120]!r}. This is another file."
        )
    table = []
    for cells in rows:
        if not cells:
            continue
        where = Where(path, rows.line_num)
        if len(cells) != len(heading):
            raise DataError(f"{where}: {len(cells)} columns, and the heading names {len(heading)}: a damaged line.")
        table.append((where, dict(zip(heading, map(str.strip, cells), strict=True))))
    return table


def json_of(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is none, such as one that is cut off.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, or not all of it: {error}") from error


class Classes:
    """Classes of a data set in official order, for looking up labels.

    Args:
        names: in order.
        where: the file they are of.

    Raises:
        DataError: a name is there twice.
    """

    def __init__(self, names: Sequence[str], where: object) -> None:
        self.names = tuple(names)
        self.where = where
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{where} names the class {twice!r} twice.")
        self._numbers = ClassNumbers(self.names)

    def named(self, name: str, where: object) -> str:
        """The official spelling of a class.

        Raises:
            DataError: there is no such class.
        """
        number = self._numbers.find(name)
        if number is None:
            raise DataError(
                f"{where}: there is no class {name!r} among the {len(self.names)} of {self.where}. "
                f"{did_you_mean(name, self.names)} Is this file of another data set?"
            )
        return self.names[number]

    def numbered(self, number: object, where: object, first: int = 0) -> str:
        """The class with a number, counted from ``first``.

        Raises:
            DataError: there is no such class.
        """
        last = first + len(self.names) - 1
        text = str(number)
        if not text.isdecimal() or not first <= int(text) <= last:
            raise DataError(
                f"{where}: the label {number!r} is none of the {len(self.names)} classes of {self.where}, {first} to "
                f"{last}. Is this file of another data set?"
            )
        return self.names[int(text) - first]


def wrong_line(where: object, line: str, form: str) -> DataError:
    """The error for a line of another form than a data set's file has."""
    return DataError(f"{where}: {line[:80]!r} is not {form}. This is another file, or a damaged one.")
