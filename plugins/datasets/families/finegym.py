"""FineGym's Gym99 and Gym288: ``<clip> <label>`` lines, and categories ``Clabel: 0; set: 1; Glabel: 1; (VT) ...``."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Classes, Official, OfficialFiles, OfficialVideo, lines_of, wrong_line

_CATEGORY = re.compile(
    r"Clabel:\s*(?P<number>[0-9]+); set:\s*(?P<set>[0-9]+); Glabel:\s*(?P<global>[0-9]+); (?P<name>.+)"
)
_SET = re.compile(r"set:\s*(?P<number>[0-9]+); (?P<name>\S+)")
_CLIP = re.compile(r"(?P<clip>(?P<id>.{11})_E_[0-9]+_[0-9]+_A_[0-9]+_[0-9]+)\s+(?P<label>[0-9]+)")
_EVENTS = {"VT": "vault", "FX": "floor exercise", "BB": "balance beam", "UB": "uneven bars"}


def read(files: OfficialFiles | None, videos: VideoIndex, *, number: str) -> Official:
    """Read the lists; see :class:`.DataSet`. Two classes of one name have that of their set behind it."""
    assert files is not None
    categories = _categories(files.require(f"gym{number}_categories.txt"), files.find("set_categories.txt"))
    classes = Classes([name for name, _ in categories], f"gym{number}_categories.txt")
    official = Official(class_names=classes.names)
    names = {
        "train": (f"gym{number}_train_element_v1.1.txt", f"gym{number}_train_element_v1.0.txt"),
        "val": (f"gym{number}_val_element.txt",),
    }
    for split, path in files.of_splits(official, names):
        official.splits[split] = []
        for where, line in lines_of(path):
            match = _CLIP.fullmatch(line)
            if match is None:
                raise wrong_line(where, line, "`ID_E_000000_000010_A_0000_0001 label`")
            label = classes.numbered(match["label"], where)
            official.splits[split].append(
                OfficialVideo(
                    where=where,
                    name=match["clip"],
                    label=label,
                    clip_names=(match["clip"],),
                    source=match["id"],
                    attributes=categories[int(match["label"])][1],
                )
            )
    return official


def _categories(path: Path, sets: Path | None) -> list[tuple[str, dict[str, str | int]]]:
    """Names and attributes of the classes."""
    set_names = {}
    for where, line in lines_of(sets) if sets is not None else ():
        match = _SET.fullmatch(line)
        if match is None:
            raise wrong_line(where, line, "`set: 1; name`")
        set_names[match["number"]] = match["name"]
    found: list[tuple[str, dict[str, str | int]]] = []
    for where, line in lines_of(path):
        match = _CATEGORY.fullmatch(line)
        if match is None or int(match["number"]) != len(found):
            raise wrong_line(where, line, f"`Clabel: {len(found)}; set: 1; Glabel: 1; name`")
        name = " ".join(match["name"].split())
        event = _EVENTS.get(name[1:3], "")
        attributes: dict[str, str | int] = {"element_set": set_names.get(match["set"], match["set"])}
        attributes |= {"event": event} if event else {}
        found.append((name, attributes | {"element": int(match["global"])}))
    times = Counter(name for name, _ in found)
    return [(f"{name} [{each['element_set']}]" if times[name] > 1 else name, each) for name, each in found]


_SOURCE = "github.com/SDOlivia/FineGym, gh-pages, resources/dataset: the official lists, read"


def _gym(number: str, train: int, newer: int, val: int) -> DataSet:
    counts = (("train", train, "_v1.0"), ("train", newer, "_v1.1"), ("val", val, ""))
    return DataSet(
        name=f"gym{number}",
        title=f"FineGym, Gym{number}",
        url="https://sdolivia.github.io/FineGym/",
        classes=int(number),
        splits=("train", "val"),
        published=tuple(
            Published(
                split=split, count=count, source=_SOURCE, file=f"gym{number}_{split}_element{release}.txt", read=True
            )
            for split, count, release in counts
        ),
        files=f"gym{number}_categories.txt, set_categories.txt, gym{number}_train_element_v1.1.txt (or v1.0), "
        f"gym{number}_val_element.txt",
        on_disk="ID_E_000000_000010_A_0000_0001.mp4, or folders of frames",
        read=partial(read, number=number),
    )


FINEGYM = (_gym("99", 20_484, 26_320, 8_521), _gym("288", 22_671, 29_334, 9_646))
