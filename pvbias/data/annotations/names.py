"""Class names compared without regard to spelling."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

_NOT_SPELLING = re.compile(r"[\W_]+")


def loosely(name: object) -> str:
    """Normalise a name: without case, white space, underscores and punctuation: ``Air_Drumming`` and ``air drumming``
    are one."""
    return _NOT_SPELLING.sub("", str(name)).casefold()


class ClassNumbers:
    """Class numbers by name, in any spelling.

    A name is found as it is written or, where no two classes would then be one, loosely (:func:`loosely`).

    Args:
        names: in label order, each once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._exact: Mapping[str, int] = {name: number for number, name in enumerate(self.names)}
        times = Counter(map(loosely, self.names))
        self._loose = {loosely(name): number for name, number in self._exact.items() if times[loosely(name)] == 1}
        self._loose.pop("", None)

    def find(self, name: str) -> int | None:
        """The number of a class; None: there is no such class."""
        found = self._exact.get(name)
        return self._loose.get(loosely(name)) if found is None else found
