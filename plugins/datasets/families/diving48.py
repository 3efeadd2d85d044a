"""Diving48: JSON arrays of ``{"vid_name", "label", "start_frame", "end_frame"}``, and the four parts of each class."""

from __future__ import annotations

from functools import partial

from pvbias.data.annotations.entries import Where
from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Classes, Official, OfficialFiles, OfficialVideo, json_of, wrong_line

_PARTS = ("takeoff", "somersaults", "twists", "position")


def read(files: OfficialFiles | None, videos: VideoIndex, *, prefix: str) -> Official:
    """Read the lists; see :class:`.DataSet`. A class is called ``Back+15som+05Twis+FREE``."""
    assert files is not None
    path = files.require("Diving48_vocab.json")
    vocabulary = json_of(path)
    if not isinstance(vocabulary, list) or any(not isinstance(each, list) or len(each) != 4 for each in vocabulary):
        raise DataError(f'{path} is no JSON array of classes such as ["Back", "15som", "05Twis", "FREE"].')
    classes = Classes(["+".join(map(str, each)) for each in vocabulary], path)
    parts = {"+".join(map(str, each)): dict(zip(_PARTS, map(str, each), strict=True)) for each in vocabulary}
    official = Official(class_names=classes.names)
    names = {split: [f"{prefix}_{split}.json"] for split in ("train", "test")}
    for split, own in files.of_splits(official, names):
        document = json_of(own)
        if not isinstance(document, list):
            raise DataError(f"{own} is no JSON array of clips, which is Diving48's form.")
        official.splits[split] = []
        for number, item in enumerate(document, 1):
            where = Where(own, f"entry {number}")
            if not isinstance(item, dict) or not {"vid_name", "label"} <= item.keys():
                raise wrong_line(where, str(item), '{"vid_name": "ID_00001", "label": 0, ...}')
            label = classes.numbered(item["label"], where)
            clip = str(item["vid_name"])
            official.splits[split].append(
                OfficialVideo(
                    where=where,
                    name=clip,
                    label=label,
                    clip_names=(clip,),
                    source=clip.rpartition("_")[0],
                    attributes=dict(parts[label]),
                )
            )
    seen = {video.label for found in official.splits.values() for video in found}
    unseen = [name for name in classes.names if name not in seen]
    if unseen and len(official.splits) == 2:
        official.notes.append(f"{len(unseen)} of the 48 classes have no clip at all: {', '.join(unseen)}.")
    return official


def _diving48(name: str, title: str, prefix: str, source: str, train: int, test: int) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        url="http://www.svcl.ucsd.edu/projects/resound/dataset.html",
        classes=48,
        splits=("train", "test"),
        published=(
            Published(split="train", count=train, source=source),
            Published(split="test", count=test, source=source),
        ),
        files=f"Diving48_vocab.json, {prefix}_train.json, {prefix}_test.json",
        on_disk="ID_00001.mp4, flat, or folders of frames",
        read=partial(read, prefix=prefix),
    )


DIVING48 = (
    _diving48(
        *("diving48", "Diving48 V2", "Diving48_V2"),
        "lists made from the official ones by others (DEVIAS, filelist/diving48), read; the data set's page: not found",
        *(15_027, 1_970),
    ),
    _diving48(
        *("diving48_v1", "Diving48 V1", "Diving48"),
        "not found; the sum, 18,404 clips, is on huggingface.co/datasets/Samoed/diving48",
        *(16_067, 2_337),
    ),
)
