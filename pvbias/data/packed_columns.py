"""Columns of values packed into numpy arrays: a few bytes a value, in place of a Python object each."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .attributes import NO_ATTRIBUTES, Attributes

#: Texts at the beginning of a column that tell whether there are many different ones.
_TRIED = 20_000

#: How many times as long as some texts what reaches from the first to the last of them may be.
_SPREAD = 2

#: None among texts: a byte that UTF-8 has not.
_NONE = b"\xff"


class Column(Protocol):
    """Values by number."""

    def take(self, numbers: np.ndarray) -> list[Any]:
        """The values with some numbers, int64 ``(N,)``, in their order."""
        ...


def pack(values: Sequence[Any]) -> Column:
    """Pack the values of a column: each comes back equal and of the same type.

    Args:
        values: None, texts, numbers, booleans, also mixed. Anything else, numpy's numbers among them, is kept as it is.
    """
    kinds = {*map(type, values)}
    if not kinds <= {str, int, float, bool, type(None)}:
        return _Objects(values)
    if not kinds - {type(None)}:
        return _Nothing()
    if kinds <= {int, type(None)} and _fits(values):
        return _Numbers.of(values)
    if kinds == {bool} or (kinds <= {float, type(None)} and not any(v is not None and math.isnan(v) for v in values)):
        return _Numbers.of(values)
    texts = values if kinds <= {str, type(None)} else [json.dumps(value) for value in values]
    packed = _coded(texts) or _Texts.of(texts)
    return packed if texts is values else _Json(packed)


def _coded(texts: Sequence[str | None]) -> Column | None:
    """Texts by number; None: half of them or more are different, at the beginning or in all."""
    if 2 * len({*texts[:_TRIED]}) > len(texts[:_TRIED]) > 1:
        return None
    if texts and texts.count(texts[0]) == len(texts):
        return _Codes(_Texts.of(texts[:1]), np.zeros(len(texts), np.uint8))
    places: dict[str | None, int] = {}
    codes = [places.setdefault(text, len(places)) for text in texts]
    return _Codes(_Texts.of([*places]), _whole(codes)) if 2 * len(places) <= len(codes) else None


class _Nothing:
    """None, any number of times."""

    def take(self, numbers: np.ndarray) -> list[Any]:
        return [None] * len(numbers)


class _Numbers:
    """Numbers of one type, or booleans.

    Args:
        values: ``(N,)``.
        none: what stands for None; NaN for floats.
    """

    def __init__(self, values: np.ndarray, none: int | float | None) -> None:
        self._values = values
        self._none = none

    @classmethod
    def of(cls, values: Sequence[Any]) -> _Numbers:
        said = [value for value in values if value is not None] if None in values else values
        none: int | float | None = None
        if len(said) < len(values):
            none = math.nan if isinstance(said[0], float) else min(said) - 1
            values = [none if value is None else value for value in values]
        array = np.array(values)
        return cls(_whole(values) if array.dtype == np.int64 else array, none)

    def take(self, numbers: np.ndarray) -> list[Any]:
        taken = self._values[numbers].tolist()
        if self._none is None:
            return taken
        if self._none != self._none:  # NaN
            return [value if value == value else None for value in taken]
        return [None if value == self._none else value for value in taken]


class _Objects:
    """Values of any types, not packed."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = [*values]

    def take(self, numbers: np.ndarray) -> list[Any]:
        return [self._values[number] for number in numbers.tolist()]


class _Texts:
    """Texts, or None.

    Args:
        data: UTF-8 of all, one behind another, uint8 ``(B,)``.
        ends: where each ends, ``(N + 1,)``, of a 0 in front.
        is_ascii: all are texts of ASCII.
    """

    def __init__(self, data: np.ndarray, ends: np.ndarray, *, is_ascii: bool) -> None:
        self._data = data
        self._ends = ends
        self._is_ascii = is_ascii

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> _Texts:
        # Any text comes back, and file names that are no UTF-8 are texts with lone surrogates.
        is_ascii = None not in texts and all(map(str.isascii, texts))  # type: ignore[arg-type]
        if is_ascii:
            parts: Sequence[Any] = texts
            data = "".join(parts).encode()
        else:
            parts = [_NONE if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
            data = b"".join(parts)
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        ends = ends.astype(np.min_scalar_type(int(ends[-1])))
        return cls(np.frombuffer(data, np.uint8), ends, is_ascii=is_ascii)

    def take(self, numbers: np.ndarray) -> list[Any]:
        data = self._data.data
        starts, ends = self._ends[numbers], self._ends[numbers + 1]
        if self._is_ascii and len(numbers):  # a byte is a letter: those that lie close together are decoded at once
            first, last = starts.min(), ends.max()
            if last - first <= _SPREAD * (ends - starts).sum():
                text = str(data[int(first) : int(last)], "ascii")
                places = zip((starts - first).tolist(), (ends - first).tolist(), strict=True)
                return [text[start:end] for start, end in places]
        starts, ends = starts.tolist(), ends.tolist()
        parts = [bytes(data[start:end]) for start, end in zip(starts, ends, strict=True)]
        return [None if part == _NONE else part.decode("utf-8", "surrogatepass") for part in parts]


class _Codes:
    """Values of which there are few different ones.

    Args:
        table: the different ones.
        codes: their numbers, ``(N,)``.
    """

    def __init__(self, table: Column, codes: np.ndarray) -> None:
        self._table = table
        self._codes = codes

    def take(self, numbers: np.ndarray) -> list[Any]:
        codes = self._codes[numbers].tolist()
        different = [*dict.fromkeys(codes)]
        values = dict(zip(different, self._table.take(np.array(different, np.int64)), strict=True))
        return [values[code] for code in codes]


class _Json:
    """Values of several types."""

    def __init__(self, texts: Column) -> None:
        self._texts = texts

    def take(self, numbers: np.ndarray) -> list[Any]:
        return [json.loads(text) for text in self._texts.take(numbers)]


def pack_attributes(attributes: Sequence[Attributes]) -> Column:
    """Pack attributes of records: those of all that have the same names, in the same order, a column for each name."""
    # Of a list that has been read, equal ones are mostly one object.
    objects = dict(zip(map(id, attributes), attributes, strict=True))
    if len(objects) == 1:
        return _Codes(_Attributes([*objects.values()]), np.zeros(len(attributes), np.uint8))
    if 2 * len(objects) > len(attributes):
        return _Attributes(attributes)
    numbers = dict(zip(objects, range(len(objects)), strict=True))
    return _Codes(_Attributes([*objects.values()]), _whole([numbers[id(each)] for each in attributes]))


class _Attributes:
    """Attributes of records: a table for all that have the same names in the same order.

    Args:
        attributes: of each record.
    """

    def __init__(self, attributes: Sequence[Attributes]) -> None:
        rows: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        tables, places = [], []  # of each record, and of its row in its table
        numbers: dict[tuple[str, ...], int] = {}
        for each in attributes:
            names, values = each.row
            tables.append(numbers.setdefault(names, len(numbers)))
            own = rows.setdefault(names, [])
            places.append(len(own))
            own.append(values)
        self._names = list(rows)
        self._columns = [[pack(column) for column in zip(*own, strict=True)] for own in rows.values()]
        # One table has the records' own numbers.
        several = len(rows) > 1
        self._tables = _whole(tables) if several else None
        self._places = _whole(places) if several else None

    def take(self, numbers: np.ndarray) -> list[Attributes]:
        """See :class:`Column`."""
        if not self._names:
            return []
        if self._tables is None or self._places is None:
            return self._rows(0, numbers)
        found: list[Attributes] = [NO_ATTRIBUTES] * len(numbers)
        tables, places = self._tables[numbers], self._places[numbers].astype(np.int64)
        for table in np.unique(tables).tolist():
            wanted = np.flatnonzero(tables == table)
            for place, each in zip(wanted.tolist(), self._rows(table, places[wanted]), strict=True):
                found[place] = each
        return found

    def _rows(self, table: int, numbers: np.ndarray) -> list[Attributes]:
        names = self._names[table]
        if not names:
            return [NO_ATTRIBUTES] * len(numbers)
        columns = [column.take(numbers) for column in self._columns[table]]
        return [Attributes(names, values) for values in zip(*columns, strict=True)]


def _whole(values: Sequence[int]) -> np.ndarray:
    """An array of the smallest type that holds all."""
    array = np.array(values, np.int64)
    least, most = (int(array.min()), int(array.max())) if len(array) else (0, 0)
    # Of two numbers, the one that needs more bits as a negative one.
    return array.astype(np.min_scalar_type(min(least, -most - 1) if least < 0 else most))


def _fits(values: Sequence[int | None]) -> bool:
    said = [value for value in values if value is not None]
    return min(said) > -(2**63) and max(said) < 2**63
