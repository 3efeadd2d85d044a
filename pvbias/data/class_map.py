"""Class maps: which classes of one data set are which of another, as a file."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import cached_property

from ..errors import DataError
from ..storage import expand
from .annotations.names import ClassNumbers, loosely
from .annotations.text import read_text


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Classes that two data sets share.

    Attributes:
        path: of its file.
        source, target: names of the two data sets, as the heading has them.
        pairs: (class of the source, class of the target); several of the source may be one of the target.
        about: what the file says of itself: where the pairs are from.
    """

    path: str
    source: str
    target: str
    pairs: tuple[tuple[str, str], ...]
    about: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The shared classes, by the target's names, in the order of the file."""
        return tuple(dict.fromkeys(target for _, target in self.pairs))

    def find(self, name: str) -> str | None:
        """The shared class of a class of either data set, in any spelling; None: it is not shared."""
        targets, sources = self._numbers
        number = targets.find(name)
        if number is not None:
            return targets.names[number]
        number = sources.find(name)
        return None if number is None else self.pairs[number][1]

    @cached_property
    def _numbers(self) -> tuple[ClassNumbers, ClassNumbers]:
        return ClassNumbers(self.classes), ClassNumbers([source for source, _ in self.pairs])


def read_class_map(path: str | os.PathLike) -> ClassMap:
    """Read a class map: CSV whose heading names two data sets, with a line ``class,class`` for each pair.

    ::

        # UCF101's and HMDB51's shared classes, as ...
        ucf101,hmdb51
        RockClimbingIndoor,climb
        RopeClimbing,climb

    Lines that begin with ``#`` say where it is from.

    Raises:
        DataError: it is missing or of another form, a class of the first data set is there twice, or one name is a
            class of both and stands for different ones.
    """
    file = expand(path)
    lines = [line.strip() for line in read_text(file).split("\n") if line.strip()]
    about = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    rows = [[cell.strip() for cell in row] for row in csv.reader(line for line in lines if not line.startswith("#"))]
    wrong = next((row for row in rows if len(row) != 2 or not all(row)), None)
    if len(rows) < 2 or wrong is not None:
        shown = f": {','.join(wrong)!r}" if wrong is not None else ""
        raise DataError(f"{file} is no class map, a heading and lines of two classes{shown}.")
    (source, target), *pairs = rows
    known: dict[str, str] = {}
    for ours, theirs in pairs:
        if ours in known:
            raise DataError(f"{file}: the class {ours!r} of {source} is there twice.")
        known[ours] = theirs
    targets = set(map(loosely, known.values()))
    mixed = next((name for name in known if loosely(name) in targets - {loosely(known[name])}), None)
    if mixed is not None:
        raise DataError(
            f"{file}: {mixed!r} is {known[mixed]!r} as a class of {source}, and itself as one of {target}: there is no "
            "telling which is meant."
        )
    return ClassMap(
        path=str(file), source=source, target=target, pairs=tuple((ours, theirs) for ours, theirs in pairs), about=about
    )
