"""HMDB51: a file for each class and split, ``<class>_test_split1.txt``, whose numbers are no labels: 1 is training, 2
testing, 0 neither."""

from __future__ import annotations

import re
from pathlib import Path

from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex, stem_of
from ..official import Classes, Official, OfficialFiles, OfficialVideo, lines_of, wrong_line

_FILE = re.compile(r"(?P<class>.+)_test_split(?P<split>[123])\.txt")
_META = re.compile(
    r"(?P<title>.+)_(?P<body>[fhlu])_(?P<camera>cm|nm)_np(?P<people>[0-9]+)_(?P<view>ba|fr|le|ri)_"
    r"(?P<quality>bad|goo|med)_[0-9]+\.avi"
)
_WORDS = {
    **{"f": "full", "h": "head", "l": "lower", "u": "upper", "cm": "moving", "nm": "still", "bad": "bad"},
    **{"ba": "back", "fr": "front", "le": "left", "ri": "right", "goo": "good", "med": "medium"},
}
_SPLITS = {1: "train", 2: "test"}


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the lists; see :class:`.DataSet`."""
    assert files is not None
    paths = [(match, path) for path in files.matching("*_test_split[123].txt") if (match := _FILE.fullmatch(path.name))]
    if not paths:
        raise DataError(f"HMDB51: {files.absent('brush_hair_test_split1.txt')}")
    classes = Classes(sorted({match["class"] for match, _ in paths}), files.folder)
    official = Official(class_names=classes.names)
    for number in "123":
        own = {match["class"]: path for match, path in paths if match["split"] == number}
        names = [f"{kind}{number}" for kind in _SPLITS.values()]
        lacking = [name for name in classes.names if name not in own]
        if lacking:
            official.absent |= dict.fromkeys(names, files.absent(f"{lacking[0]}_test_split{number}.txt"))
            continue
        found: dict[str, list[OfficialVideo]] = {name: [] for name in names}
        for label in classes.names:
            _read_class(own[label], label, number, found)
        official.splits |= found
    return official


def _read_class(path: Path, label: str, number: str, found: dict[str, list[OfficialVideo]]) -> None:
    for where, line in lines_of(path):
        name, _, code = line.rpartition(" ")
        name = name.rstrip()
        meta = _META.fullmatch(name)
        if code not in {"0", "1", "2"} or meta is None or not meta["title"].endswith(f"_{label}"):
            raise wrong_line(where, line, f"a video of the class {label!r} with 0, 1 or 2 behind it")
        if code == "0":
            continue
        found[_SPLITS[int(code)] + number].append(
            OfficialVideo(
                where=where,
                name=name,
                label=label,
                clip_names=(f"{label}/{stem_of(name)}",),
                source=meta["title"],
                attributes={
                    "body": _WORDS[meta["body"]],
                    "camera": _WORDS[meta["camera"]],
                    "people": int(meta["people"]),
                    "view": _WORDS[meta["view"]],
                    "quality": _WORDS[meta["quality"]],
                },
            )
        )


_SOURCE = "the official lists, read; paperswithcode.com/dataset/hmdb51: 70 and 30 clips of each class in each split"

HMDB51 = DataSet(
    name="hmdb51",
    title="HMDB51",
    url="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    classes=51,
    splits=("train1", "test1", "train2", "test2", "train3", "test3"),
    published=tuple(
        Published(split=f"{kind}{number}", count=51 * each, source=_SOURCE, per_class=each, read=True)
        for number in (1, 2, 3)
        for kind, each in (("train", 70), ("test", 30))
    ),
    files="153 files <class>_test_split<1-3>.txt (test_train_splits.rar)",
    on_disk="class/NAME.avi, or flat",
    read=read,
)
