"""Entries of an annotation, common to all list forms, and the parsing of their labels and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, overload

from ...errors import DataError
from ..attributes import NO_ATTRIBUTES, Attributes

#: Largest label that is believed: a number beyond is a frame, an identifier, a time, and a network of as many outputs
#: fits into no memory.
MAX_LABEL = 1_000_000

#: A decimal number, as a regular expression.
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"

#: Several numbers in one cell, or one in brackets: ``1,2``, ``1|2``, ``[1, 2]``, ``(0)``.
_NUMBERS = re.compile(
    rf"[\[({{]\s*{NUMBER}(?:[\s,;|]+{NUMBER})*[\s,]*[\])}}]|{NUMBER}(?:\s*[,;|]\s*{NUMBER}|\s+{NUMBER})+"
)

#: What programs write where a table has nothing.
_NOTHING = frozenset({"nan", "null", "<na>", "n/a"})

#: More than any part of a video is away from its beginning: a number that float can hold.
_MOST_SECONDS = 1e15

#: Entries that are taken apart together.
_TOGETHER = 1 << 16


class Where(NamedTuple):
    """File and line, or what else is counted in it, for messages: put together when they are shown."""

    file: object
    place: int | str

    def __str__(self) -> str:
        return f"{self.file}:{self.place}" if isinstance(self.place, int) else f"{self.file}: {self.place}"


class Lines(Sequence[Where]):
    """The places of the lines of a file, from its first one on: made when they are shown."""

    def __init__(self, file: object, count: int) -> None:
        self._file = file
        self._numbers = range(1, count + 1)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Where: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Where]: ...

    def __getitem__(self, index: int | slice) -> Where | Sequence[Where]:
        if isinstance(index, slice):
            return [Where(self._file, number) for number in self._numbers[index]]
        return Where(self._file, self._numbers[index])


class Entry(NamedTuple):
    """A parsed line of a list: its label may still be a class name, and its file is not looked for yet.

    Attributes:
        where: file and line, for messages.
        name: the path as the annotation writes it, or the video's identifier.
        label: number, class name, or None.
        start, end: the part of the video that is meant, seconds; None for the whole.
        attributes: what else is said of the video.
        clip: ``name`` is the identifier of a video of which a file holds just the part from ``start`` to ``end``.
        certain: nothing but a video can be meant. What is not certain counts only when a file has that name.
    """

    where: object
    name: str
    label: int | str | None = None
    start: float | None = None
    end: float | None = None
    attributes: Attributes = NO_ATTRIBUTES
    clip: bool = False
    certain: bool = True


class Entries(Sequence[Entry]):
    """The entries of a list, a column for each of their fields: a million in the time and memory of a few lists.

    Attributes:
        where, names, labels, starts, ends, attributes, clips, certain: one value an entry.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        columns: list[list[Any]] = [[] for _ in Entry._fields]
        rest = iter(entries)
        while part := list(islice(rest, _TOGETHER)):
            for column, values in zip(columns, zip(*part, strict=True), strict=True):
                column.extend(values)
        self._set(columns)

    @classmethod
    def of_videos(cls, where: Sequence[object], names: list[str], labels: list[int | str | None]) -> Entries:
        """Entries of which no more is known than where each stands, the path of a video and its label."""
        made = cls()
        rest = ([default] * len(names) for default in (None, None, NO_ATTRIBUTES, False, True))
        made._set([where, names, labels, *rest])
        return made

    def _set(self, columns: Sequence[Any]) -> None:
        self.where, self.names, self.labels, self.starts, self.ends, self.attributes, self.clips, self.certain = columns
        self._columns = columns

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return Entry(self.where[index], self.names[index], self.labels[index], *(c[index] for c in self._columns[3:]))

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry._make, zip(*self._columns, strict=True))

    def first_with(self, label: int | str | None) -> Entry:
        """The first entry with a label."""
        return self[self.labels.index(label)]

    def first_of_labels(self) -> dict[int | str | None, int]:
        """The different labels in the order in which they occur first, each with the number of that entry."""
        places = dict(zip(reversed(self.labels), range(len(self) - 1, -1, -1), strict=True))
        return dict(sorted(places.items(), key=itemgetter(1)))


def is_number(text: str) -> bool:
    """Whether a text is a decimal number, whole or not."""
    return re.fullmatch(NUMBER, text) is not None


def parse_label(value: Any, where: object) -> int | str | None:
    """Parse a label: a whole number (``2``, ``"2"``, ``2.0``) as int, a class name as text, None for none.

    Raises:
        DataError: it is a number that no class can have, or neither number nor name.
    """
    if value is None:
        return None
    if type(value) is int and 0 <= value <= MAX_LABEL:
        return value
    if isinstance(value, (list, dict, tuple)) or (isinstance(value, str) and _NUMBERS.fullmatch(value.strip())):
        raise DataError(
            f"{where}: the label is {value!r}. Several labels of one video (multi-label) are not supported: give each "
            "video one label."
        )
    if isinstance(value, str) and value.strip().casefold() in _NOTHING:
        raise DataError(f"{where}: the label is {value!r}, as for none. Where a video has none, leave the label out.")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise DataError(f"{where}: the label {value!r} is neither a number nor a name")
    text = str(value).strip()
    if not is_number(text) and isinstance(value, str):
        return text or None
    number = Decimal(text)
    if not number.is_finite() or number != number.to_integral_value():
        raise DataError(
            f"{where}: the label {text} is no whole number. Labels are the numbers of classes, 0 to K - 1, or names; a "
            "score or a time is neither."
        )
    if not 0 <= number <= MAX_LABEL:
        raise DataError(
            f"{where}: the label {text} is no class: labels run from 0 to K - 1, and not beyond {MAX_LABEL:,}. "
            "Where a video has none, leave the label out."
        )
    return int(number)


def parse_seconds(value: Any, key: str, where: object) -> float | None:
    """Parse a time in seconds; None for none.

    Raises:
        DataError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST_SECONDS:
        raise DataError(f"{where}: {key!r} is {value!r}, which is no time in seconds")
    return float(value)


def check_part(start: float | None, end: float | None, where: object) -> None:
    """Raise DataError where a part ends before it starts."""
    if end is not None and end <= (start or 0.0):
        raise DataError(f"{where}: the part ends ({end:g} s) before it starts ({start or 0:g} s)")
