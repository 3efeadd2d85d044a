"""Charades, of which each video has several classes: ``actions`` is ``c092 11.90 21.20;c147 0.00 12.60``."""

from __future__ import annotations

import re
from pathlib import Path

from pvbias.data.attributes import Attribute

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Classes, Official, OfficialFiles, OfficialVideo, lines_of, table_of, wrong_line

_ACTION = re.compile(r"(?P<code>c[0-9]{3}) (?P<start>[0-9.]+) (?P<end>[0-9.]+)")
_CLASS = re.compile(r"(?P<code>c[0-9]{3}) (?P<name>.+)")


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the lists; see :class:`.DataSet`."""
    assert files is not None
    names = _classes(files.require("Charades_v1_classes.txt"))
    official = Official(class_names=Classes([*names.values()], "Charades_v1_classes.txt").names)
    for split, path in files.of_splits(official, {split: [f"Charades_v1_{split}.csv"] for split in ("train", "test")}):
        official.splits[split] = []
        for where, row in table_of(path, ("id", "subject", "scene", "actions", "length")):
            found: dict[str, None] = {}
            for action in filter(None, row["actions"].split(";")):
                match = _ACTION.fullmatch(action)
                if match is None or match["code"] not in names:
                    raise wrong_line(where, action, f"an action such as `c092 11.90 21.20`, c000 to {max(names)}")
                found[names[match["code"]]] = None
            attributes: dict[str, Attribute] = {"subject": row["subject"], "scene": row["scene"]}
            official.splits[split].append(
                OfficialVideo(
                    where=where,
                    name=row["id"],
                    classes=tuple(found),
                    clip_names=(row["id"],),
                    source=row["id"],
                    attributes={key: value for key, value in attributes.items() if value != ""},
                )
            )
    return official


def _classes(path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for where, line in lines_of(path):
        match = _CLASS.fullmatch(line)
        if match is None or match["code"] != f"c{len(names):03d}":
            raise wrong_line(where, line, f"`c{len(names):03d} Name of the class`")
        names[match["code"]] = match["name"]
    return names


_SOURCE = "the lists as distributed, read; 9,848 videos of 157 classes (Sigurdsson et al., ECCV 2016, abstract) in all"

CHARADES = DataSet(
    name="charades",
    title="Charades",
    url="https://prior.allenai.org/projects/charades",
    classes=157,
    splits=("train", "test"),
    published=(
        Published(split="train", count=7_985, source=_SOURCE, read=True),
        Published(split="test", count=1_863, source=_SOURCE, read=True),
    ),
    files="Charades_v1_classes.txt, Charades_v1_train.csv, Charades_v1_test.csv",
    on_disk="ID.mp4, flat",
    read=read,
)
