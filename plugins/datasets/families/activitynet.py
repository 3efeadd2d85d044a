"""ActivityNet 1.3 as a set of trimmed videos: each annotated segment is one, a part of its video."""

from __future__ import annotations

from pvbias.data.annotations.entries import Where
from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Official, OfficialFiles, OfficialVideo, json_of, wrong_line

_SPLITS = {"training": "train", "validation": "val", "testing": "test"}


def read(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read the one file; see :class:`.DataSet`. Classes have the order of their sorted names: the file numbers
    none, and ActivityNet's own evaluation numbers them as they come up in it."""
    assert files is not None
    path = files.require("activity_net.v1-3.min.json", "activity_net.v1-3.json")
    document = json_of(path)
    database = document.get("database") if isinstance(document, dict) else None
    if not isinstance(database, dict):
        raise DataError(f"{path} has no object `database`, which is ActivityNet's form.")
    official = Official(class_names=(), splits={split: [] for split in _SPLITS.values()})
    untold = 0
    for name, item in database.items():
        where = Where(path, repr(name))
        if not isinstance(item, dict) or item.get("subset") not in _SPLITS or "annotations" not in item:
            raise wrong_line(where, str(item), "a video with `subset` and `annotations`")
        split = official.splits[_SPLITS[item["subset"]]]
        names = (f"v_{name}", name)
        common = {"where": where, "source_names": names, "source": name, "attributes": {"youtube_id": name}}
        if item["subset"] == "testing":
            split.append(OfficialVideo(name=name, **common))
            continue
        for annotation in item["annotations"]:
            start, end = map(float, annotation["segment"])
            if end <= start:
                untold += 1
                continue
            split.append(
                OfficialVideo(
                    name=f"{name}_{start:g}_{end:g}", label=annotation["label"], start=start, end=end, **common
                )
            )
    if untold:
        official.notes.append(f"{untold} segments end before they start, and are left out.")
    labels = {video.label for found in official.splits.values() for video in found} - {None}
    official.class_names = tuple(sorted(map(str, labels)))
    return official


_SOURCE = "activity-net.org/download.html, release 1.3: 15,410 and 7,654 instances, 5,044 testing videos"

ACTIVITYNET = DataSet(
    name="activitynet",
    title="ActivityNet 1.3, trimmed",
    url="http://activity-net.org/download.html",
    classes=200,
    splits=tuple(_SPLITS.values()),
    published=(
        # A few segments are empty in the file, and so nothing to look at.
        Published(split="train", count=15_410, source=_SOURCE, exact=False),
        Published(split="val", count=7_654, source=_SOURCE, exact=False),
        Published(split="test", count=5_044, source=_SOURCE),
    ),
    files="activity_net.v1-3.min.json",
    on_disk="v_ID.mp4 or ID.mp4, whole videos",
    read=read,
)
