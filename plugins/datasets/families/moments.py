"""Moments in Time: ``trainingSet.csv`` of ``class/file.mp4,class,agreeing,disagreeing`` lines, and
``moments_categories.txt`` of ``class,number`` lines."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from ..catalogue import DataSet, Published
from ..locating import VideoIndex, stem_of
from ..official import Classes, Official, OfficialFiles, OfficialVideo, lines_of, wrong_line


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the lists; see :class:`.DataSet`."""
    assert files is not None
    classes = _classes(files.require("moments_categories.txt"))
    official = Official(class_names=classes.names)
    for split, path in files.of_splits(official, {"train": ["trainingSet.csv"], "val": ["validationSet.csv"]}):
        official.splits[split] = []
        for where, line in lines_of(path):
            (cells,) = csv.reader([line])
            if len(cells) != 4 or "/" not in cells[0] or not cells[2].isdecimal() or not cells[3].isdecimal():
                raise wrong_line(where, line, "`class/file.mp4,class,agreeing,disagreeing`")
            official.splits[split].append(
                OfficialVideo(
                    where=where,
                    name=cells[0],
                    label=classes.named(cells[1], where),
                    clip_names=(str(PurePosixPath(stem_of(cells[0]))),),
                    attributes={"agreeing": int(cells[2]), "disagreeing": int(cells[3])},
                )
            )
    return official


def _classes(path: Path) -> Classes:
    """Lines ``name,number``, or names alone in order."""
    names: list[str] = []
    for where, line in lines_of(path):
        name, comma, number = line.rpartition(",")
        if comma and number.strip() != str(len(names)):
            raise wrong_line(where, line, f"`class,{len(names)}`")
        names.append(name.strip() if comma else line)
    return Classes(names, path)


def _moments(name: str, title: str, classes: int, train: Published, val: Published) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        url="http://moments.csail.mit.edu/",
        classes=classes,
        splits=("train", "val"),
        published=(train, val),
        files="moments_categories.txt, trainingSet.csv, validationSet.csv",
        on_disk="training/class/file.mp4, validation/class/file.mp4",
        read=read,
    )


_V1 = "not found; Monfort et al., arXiv:1801.03150, abstract: one million videos of 339 classes"
_V2 = "github.com/MikeWangWZHL/Paxion, dataset_cards/moments_in_time.md of an earlier commit"

MOMENTS = (
    _moments(
        *("moments", "Moments in Time v1", 339),
        Published(split="train", count=802_264, source=_V1),
        Published(split="val", count=33_900, source=_V1, per_class=100),
    ),
    _moments(
        *("moments_v2", "Moments in Time v2", 305),
        Published(split="train", count=727_305, source=_V2, exact=False),
        Published(split="val", count=30_500, source=_V2, exact=False),
    ),
)
