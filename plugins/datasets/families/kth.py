"""KTH: ``00sequences.txt``, frames of the four sequences of each video; the splits are lists of persons."""

from __future__ import annotations

import re

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Official, OfficialFiles, OfficialVideo, lines_of, wrong_line

_LINE = re.compile(r"(?P<video>person(?P<person>[0-9]{2})_(?P<class>[a-z]+)_d(?P<scenario>[1-4]))\s+(?P<rest>.+)")
_FRAMES = re.compile(r"frames\s+(?P<parts>[0-9]+-[0-9]+(?:,\s*[0-9]+-[0-9]+)*)")
_CLASSES = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
_SPLITS = {
    "train": range(11, 19),
    "val": (19, 20, 21, 23, 24, 25, 1, 4),
    "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
_SCENARIOS = {"1": "outdoors", "2": "outdoors, scale", "3": "outdoors, clothes", "4": "indoors"}
_FPS = 25.0


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the list; see :class:`.DataSet`. Each sequence is a part of its video, of 25 frames a second."""
    assert files is not None
    path = files.require("00sequences.txt")
    official = Official(class_names=_CLASSES, splits={split: [] for split in _SPLITS})
    split_of = {person: split for split, persons in _SPLITS.items() for person in persons}
    for where, line in lines_of(path):
        match = _LINE.fullmatch(line)
        if match is None and not line.startswith("person"):
            continue  # what the file says about itself
        if match is None or match["class"] not in _CLASSES or int(match["person"]) not in split_of:
            raise wrong_line(where, line, "`person01_boxing_d1 frames 1-95, ...`")
        if match["rest"] == "*missing*":
            official.notes.append(f"{match['video']} is missing, as {path.name} says itself.")
            continue
        frames = _FRAMES.fullmatch(match["rest"])
        if frames is None:
            raise wrong_line(where, line, "`person01_boxing_d1 frames 1-95, ...`")
        for part in re.split(r",\s*", frames["parts"]):
            first, last = map(int, part.split("-"))
            official.splits[split_of[int(match["person"])]].append(
                OfficialVideo(
                    where=where,
                    name=f"{match['video']} {part}",
                    label=match["class"],
                    source_names=(f"{match['video']}_uncomp", match["video"]),
                    source=match["video"],
                    start=(first - 1) / _FPS,
                    end=last / _FPS,
                    attributes={"person": int(match["person"]), "scenario": _SCENARIOS[match["scenario"]]},
                )
            )
    return official


_SOURCE = "the official file 00sequences.txt, read: 2,391 sequences of 25 persons, 8 + 8 + 9 of them"

KTH = DataSet(
    name="kth",
    title="KTH",
    url="https://www.csc.kth.se/cvap/actions/",
    classes=6,
    splits=tuple(_SPLITS),
    published=tuple(
        Published(split=split, count=count, source=_SOURCE, read=True)
        for split, count in {"train": 760, "val": 768, "test": 863}.items()
    ),
    files="00sequences.txt",
    on_disk="person01_boxing_d1_uncomp.avi, in folders of classes or flat",
    read=read,
)
