"""HAA500, which is listed by its folders alone: ``class/class_000.mp4`` to ``class_019.mp4``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex, stem_of
from ..official import Official, OfficialFiles, OfficialVideo

_EACH = 20
#: Of the 20 clips of each class, in the order of their numbers.
_SPLITS = {"train": range(16), "val": range(16, 17), "test": range(17, 20)}


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the names of the videos; see :class:`.DataSet`. A number of which there is no video is a missing one."""
    folders = set()
    for name in videos.paths:
        path = PurePosixPath(name)
        if re.fullmatch(rf"{re.escape(path.parent.name)}_[0-9]{{3}}", stem_of(path.name)):
            folders.add(path.parent.name)
    if not folders:
        raise DataError(f"{videos.folder} has no videos class/class_000.mp4, which is HAA500's form.")
    official = Official(class_names=tuple(sorted(folders)))
    official.notes.append(
        "HAA500 splits the lines of each class's list of clips: the first 16, the 17th, the rest. Its videos are taken "
        "to be numbered likewise: 000 to 015 are training, 016 validation, 017 to 019 testing."
    )
    for split, numbers in _SPLITS.items():
        official.splits[split] = [
            OfficialVideo(
                where=f"{videos.folder}/{name}",
                name=f"{name}/{name}_{number:03d}",
                label=name,
                clip_names=(f"{name}/{name}_{number:03d}",),
            )
            for name in official.class_names
            for number in numbers
        ]
    return official


HAA500 = DataSet(
    name="haa500",
    title="HAA500",
    url="https://www.cse.ust.hk/haa/",
    classes=500,
    splits=tuple(_SPLITS),
    published=tuple(
        Published(
            split=split,
            count=500 * len(numbers),
            source="github.com/a6o/HAA500, README: of each of 500 classes the first 16 clips are for training, the "
            "17th for validation, the rest for testing" + ("; that these are 3: not found" if split == "test" else ""),
            per_class=len(numbers),
        )
        for split, numbers in _SPLITS.items()
    ),
    files="no file: the folders are the list",
    on_disk="class/class_000.mp4",
    read=read,
    has_files=False,
)
