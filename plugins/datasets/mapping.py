"""Lists in the classes that two data sets share (`pvbias data map`), and the class maps that are known by name."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pvbias.data.annotations import CLASS_NAMES, Annotation, Listed, read_class_names, text_lines
from pvbias.data.class_map import ClassMap, read_class_map
from pvbias.errors import ConfigError, DataError, did_you_mean
from pvbias.files import write_atomically
from pvbias.storage import is_address

_MAPS = Path(__file__).with_name("maps")


def known_maps() -> list[str]:
    """Names of the class maps that come with this plugin."""
    return sorted(path.stem for path in _MAPS.glob("*.csv"))


def find_map(name: str) -> ClassMap:
    """A class map by its name, or of a file.

    Raises:
        DataError: there is none, or the file is none.
    """
    own = _MAPS / f"{name}.csv"
    if name in known_maps():
        return read_class_map(own)
    if not Path(os.path.expanduser(name)).is_file():
        raise DataError(f"There is no class map {name!r}, nor a file of that name. {did_you_mean(name, known_maps())}")
    return read_class_map(name)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """The outcome of :func:`map_list`.

    Attributes:
        path: of the new list.
        kept: how many of the videos have a shared class, by that class.
        left_out: classes of the old list that are not shared.
    """

    path: Path
    kept: dict[str, int]
    left_out: list[str]

    def __str__(self) -> str:
        rows = [f"  {name}: {count}" for name, count in self.kept.items()]
        head = f"{self.path}: {sum(self.kept.values()):,} videos of {len(self.kept)} classes"
        return "\n".join([f"{head}; {len(self.left_out)} classes of the list are not shared", *rows])


def map_list(annotation: Annotation, class_map: ClassMap, out: str | Path) -> Mapped:
    """Write the videos of a list that have a shared class, with that class as their label.

    Beside it goes ``class_names.txt`` with the shared classes, so a folder has lists in the classes of one map.

    Args:
        annotation: a list whose labels have names.
        class_map: of its data set and another one.
        out: the new list, a CSV.

    Raises:
        ConfigError: the folder of ``out`` has lists of other classes.
        DataError: the list has no class names, or none of its classes is shared.
    """
    out = Path(os.path.expanduser(out))
    if not annotation.class_names:
        raise DataError(f"{annotation.path} has no class names, but numbers: a class map is of names.")
    shared = {number: class_map.find(name) for number, name in enumerate(annotation.class_names)}
    if not any(shared.values()):
        raise DataError(
            f"None of the classes of {annotation.path} ({', '.join(annotation.class_names[:3])}, ...) is in "
            f"{class_map.path}, which is of {class_map.source} and {class_map.target}."
        )
    names = out.parent / CLASS_NAMES
    if names.exists() and read_class_names(names) != class_map.classes:
        raise ConfigError(f"{out.parent} has lists of other classes ({names}): give the new list a folder of its own.")
    listed, counts = [], Counter[str]()
    for record in annotation.records:
        label = shared.get(record.label) if record.label is not None else None
        if label is not None:
            local = not is_address(record.path)
            path = os.path.relpath(os.path.abspath(record.path), out.parent.absolute()) if local else record.path
            listed.append(Listed(path, label, record))
            counts[label] += 1
    write_atomically(names, "".join(f"{name}\n" for name in class_map.classes).encode())
    lines = "".join(f"{line}\n" for line in text_lines(listed))
    write_atomically(out, lines.encode("utf-8", "surrogateescape"))
    return Mapped(
        path=out,
        kept={name: counts[name] for name in class_map.classes},
        left_out=[annotation.class_names[number] for number, name in shared.items() if name is None],
    )
