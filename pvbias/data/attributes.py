"""Attributes of videos: what a list says of each beside its path, label and part, such as its scene, domain or
factors."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

#: A value of an attribute.
Attribute: TypeAlias = str | int | float | bool

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: What programs write where a table has nothing.
_NOTHING = frozenset({"", "nan", "null", "<na>", "n/a"})
#: Different attributes of a list from which on more are not looked for again: they are likely to differ in all videos.
_MOST_KEPT = 100_000
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Attributes(Mapping[str, Attribute]):
    """An immutable mapping of a few names to values, small in memory and when pickled: the records of a list share
    the tuple of names. Equal to a dictionary of the same items; those of a list are made by :class:`AttributePool`."""

    _names: tuple[str, ...] = ()
    _values: tuple[Attribute, ...] = ()

    @classmethod
    def of(cls, items: Mapping[str, Attribute]) -> Attributes:
        """The same as a dictionary."""
        return cls(tuple(items), tuple(items.values()))

    @property
    def row(self) -> tuple[tuple[str, ...], tuple[Attribute, ...]]:
        """Names and values."""
        return self._names, self._values

    def __getitem__(self, name: str) -> Attribute:
        if name not in self._names:
            raise KeyError(name)
        return self._values[self._names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Attributes], tuple[Any, ...]]:  # a third of the time of a dataclass's own
        return Attributes, (self._names, self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


#: Those of a video of which a list says nothing more.
NO_ATTRIBUTES = Attributes()


class AttributePool:
    """Makes the attributes of the records of one list, keeping equal ones in memory once.

    Attributes:
        nested: names whose values were lists or objects, which are no attributes.
    """

    def __init__(self) -> None:
        self.nested: Counter[str] = Counter()
        self._kept: dict[Any, Any] = {}

    def make(self, names: tuple[str, ...], values: tuple[Any, ...]) -> Attributes:
        """Make attributes of names and values. Texts, numbers and booleans are kept as they are; empty values (None, an
        empty text, a number that is not finite), lists and objects are left out."""
        # 1, 1.0 and True are equal, and not the same.
        key = (names, values, tuple(map(type, values)))
        if list in key[2] or dict in key[2]:
            return self._new(names, values)
        found = self._kept.get(key)
        if found is None:
            found = self._new(names, values)
            if len(self._kept) <= _MOST_KEPT:
                self._kept[key] = found
        return found

    def _new(self, names: tuple[str, ...], values: tuple[Any, ...]) -> Attributes:
        kept_names, kept_values = [], []
        for name, value in zip(names, values, strict=True):
            if isinstance(value, (list, dict)):
                self.nested[name] += 1
            elif value is not None and value != "" and not (isinstance(value, float) and not math.isfinite(value)):
                kept_names.append(name)
                kept_values.append(self._once(value) if isinstance(value, str) else value)
        return Attributes(self._once(tuple(kept_names)), tuple(kept_values)) if kept_names else NO_ATTRIBUTES

    def _once(self, value: Any) -> Any:
        return self._kept.setdefault(value, value)


def typed_column(cells: Sequence[str]) -> list[Attribute | None]:
    """Convert a text column to the type that all its cells have: int, float, bool, else text. A number with a leading
    zero, or of more than 18 digits, is a text: an identifier.

    Returns:
        One value a cell; None: it says nothing (it is empty, or nan, null, <na>, n/a).
    """
    said = [cell for cell in dict.fromkeys(cells) if cell.casefold() not in _NOTHING]
    kind: Callable[[str], Attribute] = str
    if all(map(_WHOLE.fullmatch, said)):
        kind = int
    elif all(_NUMBER.fullmatch(cell) and math.isfinite(float(cell)) for cell in said):
        kind = float
    elif all(cell.casefold() in _TRUTH for cell in said):
        kind = _is_true
    values = {cell: kind(cell) for cell in said}
    return [*map(values.get, cells)]


def _is_true(cell: str) -> bool:
    return _TRUTH[cell.casefold()]
