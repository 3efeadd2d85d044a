"""Lists of records in little memory: packed, and parts of lists by number."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from .attributes import Attributes
from .packed_columns import pack, pack_attributes
from .records import VideoRecord
from .shared_memory import Shared

#: Records that are made together when all are iterated over.
_TOGETHER = 4096

_FIELDS = ("path", "name", "label", "start", "end", "attributes")


class _Records(Sequence[VideoRecord]):
    """Base of sequences whose records are made when they are asked for, several at a time."""

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[VideoRecord]: ...

    def __getitem__(self, index: int | slice) -> VideoRecord | Sequence[VideoRecord]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return RecordSubset(self, numbers)
        return self.take(np.array([numbers]))[0]

    def __iter__(self) -> Iterator[VideoRecord]:
        for start in range(0, len(self), _TOGETHER):
            yield from self.take(np.arange(start, min(start + _TOGETHER, len(self))))

    def take(self, numbers: np.ndarray) -> list[VideoRecord]:
        """The records with some numbers, int64 ``(N,)``."""
        columns = [self.field(name, numbers) for name in _FIELDS]
        return [
            VideoRecord(path=path, name=name, label=label, start=start, end=end, attributes=attributes)
            for path, name, label, start, end, attributes in zip(*columns, strict=True)
        ]

    @abc.abstractmethod
    def field(self, name: str, numbers: np.ndarray) -> list[Any]:
        """One field of the records with some numbers, int64 ``(N,)``."""


class RecordList(Shared, _Records):
    """The records of an annotation, packed into arrays; each is made when it is asked for.

    One takes the bytes of its name and about ten more, where its path is that of a folder and the name, and those of
    its attributes: a text that many have takes one or two, another one its length, a number one to eight. Worker
    processes share the memory (:class:`.shared_memory.Shared`).

    Args:
        names, paths, labels, starts, ends: fields of the records.
        attributes: theirs.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        paths: Sequence[str],
        labels: Sequence[int | None],
        starts: Sequence[float | None],
        ends: Sequence[float | None],
        attributes: Sequence[Attributes],
    ) -> None:
        self._length = len(names)
        # A path is what is in front of the name in it, the name, and what is behind; or all in front, and behind None.
        before: list[str]
        behind: list[str | None]
        if all(map(str.endswith, paths, names)):
            before = [path[: len(path) - len(name)] for path, name in zip(paths, names, strict=True)]
            behind = [""] * len(names)
        else:
            places = [path.rfind(name) for path, name in zip(paths, names, strict=True)]
            before = [path if place < 0 else path[:place] for path, place in zip(paths, places, strict=True)]
            behind = [
                None if place < 0 else path[place + len(name) :]
                for path, name, place in zip(paths, names, places, strict=True)
            ]
        self._columns = {
            "name": pack(names),
            "before": pack(before),
            "behind": pack(behind),
            "label": pack(labels),
            "start": pack(starts),
            "end": pack(ends),
            "attributes": pack_attributes(attributes),
        }

    @classmethod
    def of(cls, records: Iterable[VideoRecord]) -> RecordList:
        """The same records, packed."""
        made = list(records)
        found = [each.attributes for each in made]
        return cls(
            names=[each.name for each in made],
            paths=[each.path for each in made],
            labels=[each.label for each in made],
            starts=[each.start for each in made],
            ends=[each.end for each in made],
            attributes=[each if isinstance(each, Attributes) else Attributes.of(each) for each in found],
        )

    def __len__(self) -> int:
        return self._length

    def field(self, name: str, numbers: np.ndarray) -> list[Any]:
        """One field of the records with some numbers, int64 ``(N,)``."""
        if name != "path":
            return self._columns[name].take(numbers)
        parts = (self._columns[part].take(numbers) for part in ("before", "name", "behind"))
        return [
            before if behind is None else f"{before}{within}{behind}"
            for before, within, behind in zip(*parts, strict=True)
        ]


class MadeRecords(_Records):
    """Records of generated videos, each made when it is asked for: nothing is kept of them.

    Args:
        count: how many.
        make: gives the record with a number, 0 to ``count - 1``. Something that can be pickled, for workers.
    """

    def __init__(self, count: int, make: Callable[[int], VideoRecord]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def take(self, numbers: np.ndarray) -> list[VideoRecord]:
        """The records with some numbers, int64 ``(N,)``."""
        return [self._make(number) for number in numbers.tolist()]

    def field(self, name: str, numbers: np.ndarray) -> list[Any]:
        """One field of the records with some numbers, int64 ``(N,)``."""
        return [getattr(record, name) for record in self.take(numbers)]


class RecordSubset(_Records):
    """Some records of a list, by number: eight bytes each, and none for a range.

    Attributes:
        whole: the list.

    Args:
        records: the list.
        numbers: of those that are meant, in order.
        labelled: False: without their labels.
    """

    def __init__(
        self, records: Sequence[VideoRecord], numbers: Sequence[int] | np.ndarray, *, labelled: bool = True
    ) -> None:
        self.whole = records
        self._numbers = _Numbers(numbers)
        self._labelled = labelled

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of all, int64 ``(N,)``."""
        return self._numbers.take(np.arange(len(self)))

    def __len__(self) -> int:
        return len(self._numbers)

    def field(self, name: str, numbers: np.ndarray) -> list[Any]:
        """One field of the records with some numbers, int64 ``(N,)``."""
        if name == "label" and not self._labelled:
            return [None] * len(numbers)
        return _taken(self.whole, name, self._numbers.take(numbers))


def field_of(records: Sequence[VideoRecord], name: str) -> list[Any]:
    """One field of all records; for those that are made when they are asked for, without making them."""
    return _taken(records, name, np.arange(len(records)))


def _taken(records: Sequence[VideoRecord], name: str, numbers: np.ndarray) -> list[Any]:
    if isinstance(records, _Records):
        return records.field(name, numbers)
    return [getattr(records[number], name) for number in numbers.tolist()]


class _Numbers(Shared):
    """Numbers of records, which workers share."""

    def __init__(self, numbers: Sequence[int] | np.ndarray) -> None:
        self._numbers = numbers if isinstance(numbers, range) else np.asarray(numbers, np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def take(self, places: np.ndarray) -> np.ndarray:
        """The numbers at some places, int64 ``(N,)``."""
        if isinstance(self._numbers, range):
            return self._numbers.start + self._numbers.step * places
        return self._numbers[places]
