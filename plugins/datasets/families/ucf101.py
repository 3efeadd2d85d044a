"""UCF101: ``classInd.txt``, ``trainlist01.txt`` (with labels from 1), ``testlist01.txt`` (without labels)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from ..catalogue import DataSet, Published
from ..locating import VideoIndex, stem_of
from ..official import Classes, Official, OfficialFiles, OfficialVideo, lines_of, wrong_line

_CLASS = re.compile(r"(?P<number>[0-9]+)\s+(?P<name>\S+)")
_VIDEO = re.compile(
    r"(?P<path>(?P<class>[^/\s]+)/v_\w+?_g(?P<group>[0-9]+)_c(?P<clip>[0-9]+)\.avi)(?:\s+(?P<label>.+))?"
)


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the lists; see :class:`.DataSet`."""
    assert files is not None
    classes = _classes(files.require("classInd.txt"))
    official = Official(class_names=classes.names)
    names = {f"{kind}{number}": [f"{kind}list{number:02d}.txt"] for kind in ("train", "test") for number in (1, 2, 3)}
    official.splits = {split: [*_videos(path, classes)] for split, path in files.of_splits(official, names)}
    return official


def _classes(path: Path) -> Classes:
    names: list[str] = []
    for where, line in lines_of(path):
        match = _CLASS.fullmatch(line)
        if match is None or int(match["number"]) != len(names) + 1:
            raise wrong_line(where, line, f"`{len(names) + 1} ClassName`")
        names.append(match["name"])
    return Classes(names, path)


def _videos(path: Path, classes: Classes) -> list[OfficialVideo]:
    found = []
    for where, line in lines_of(path):
        match = _VIDEO.fullmatch(line)
        if match is None:
            raise wrong_line(where, line, "`Class/v_Class_g01_c01.avi` with or without a label")
        label = classes.named(match["class"], where)
        if match["label"] is not None and classes.numbered(match["label"], where, first=1) != label:
            raise wrong_line(where, line, f"a video of the class that its label says ({match['label']})")
        group = f"{label}_g{match['group']}"
        found.append(
            OfficialVideo(
                where=where,
                name=match["path"],
                label=label,
                clip_names=(stem_of(str(PurePosixPath(match["path"]))),),
                source=group,
                attributes={"group": int(match["group"]), "number": int(match["clip"])},
            )
        )
    return found


_SOURCE = "the official lists, read: 13,320 clips in each of the three"

UCF101 = DataSet(
    name="ucf101",
    title="UCF101",
    url="https://www.crcv.ucf.edu/data/UCF101.php",
    classes=101,
    splits=("train1", "test1", "train2", "test2", "train3", "test3"),
    published=tuple(
        Published(split=split, count=count, source=_SOURCE, read=True)
        for split, count in {
            **{"train1": 9_537, "test1": 3_783, "train2": 9_586, "test2": 3_734},
            **{"train3": 9_624, "test3": 3_696},
        }.items()
    ),
    files="classInd.txt, trainlist01.txt ... testlist03.txt (UCF101TrainTestSplits-RecognitionTask.zip)",
    on_disk="Class/v_Class_g01_c01.avi, or flat",
    read=read,
)
