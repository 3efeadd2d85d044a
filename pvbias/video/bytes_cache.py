"""A least-recently-used cache that is bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


_Value = TypeVar("_Value", bound=_Sized)


class BytesCache(Generic[_Value]):
    """Keeps the values used last, up to a number of bytes; the very last one whatever its size.

    Args:
        limit: bytes, of the ``nbytes`` of all values together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._total = 0

    def get(self, key: Hashable) -> _Value | None:
        """The value of a key; None where it is not kept."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: Hashable, value: _Value) -> _Value:
        """Keep a value, in the place of one with the same key, and return it."""
        self._values[key] = value
        self._values.move_to_end(key)
        self._total += value.nbytes - self._sizes.get(key, 0)
        self._sizes[key] = value.nbytes
        while self._total > self._limit and len(self._values) > 1:
            oldest, _ = self._values.popitem(last=False)
            self._total -= self._sizes.pop(oldest)
        return value

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
        self._sizes.clear()
        self._total = 0
