"""20BN's data sets: Something-Something v1 (``identifier;class``) and v2 (JSON, whose class is the template without its
brackets), and Jester (``identifier;class``)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pvbias.data.annotations.entries import Where
from pvbias.data.attributes import Attribute
from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Classes, Official, OfficialFiles, OfficialVideo, json_of, lines_of, wrong_line

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read(files: OfficialFiles | None, videos: VideoIndex, *, prefix: str) -> Official:
    """Read lists of lines ``identifier;class``; of the test split, whose labels are withheld, ``identifier``."""
    assert files is not None
    path = files.require(f"{prefix}-labels.csv")
    classes = Classes([line for _, line in lines_of(path)], path)
    official = Official(class_names=classes.names)
    names = {split: [f"{prefix}-{word}.csv"] for split, word in _SPLITS.items()}
    for split, own in files.of_splits(official, names):
        official.splits[split] = []
        for where, line in lines_of(own):
            identifier, _, label = line.partition(";")
            if not identifier.isdecimal() or (split == "test") == bool(label):
                raise wrong_line(where, line, "`identifier`" if split == "test" else "`identifier;class`")
            named = classes.named(label, where) if label else None
            official.splits[split].append(_video(where, identifier, named, {}))
    return official


def read_v2(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read Something-Something v2's JSON; the labels of the test split are in a file of their own."""
    assert files is not None
    path = files.require("labels.json", "something-something-v2-labels.json")
    classes = _numbered_classes(path)
    official = Official(class_names=classes.names)
    names = {split: [f"{word}.json", f"something-something-v2-{word}.json"] for split, word in _SPLITS.items()}
    for split, own in files.of_splits(official, names):
        answers = _answers(files, classes) if split == "test" else {}
        if split == "test" and not answers:
            official.notes.append("test: there is no test-answers.csv, so its videos have no labels.")
        official.splits[split] = []
        document = json_of(own)
        if not isinstance(document, list):
            raise DataError(f"{own} is no JSON array of videos, which is Something-Something v2's form.")
        for number, item in enumerate(document, 1):
            where = Where(own, f"entry {number}")
            if not isinstance(item, dict) or not str(item.get("id", "")).isdecimal():
                raise wrong_line(where, str(item), '{"id": "123", ...}')
            if split != "test" and not isinstance(item.get("template"), str):
                raise wrong_line(where, str(item), '{"id": "123", "template": "Doing [something]", ...}')
            identifier = str(item["id"])
            label = answers.get(identifier)
            if answers and label is None:
                raise DataError(f"{where}: test-answers.csv has no line of the video {identifier}. It is cut off.")
            if "template" in item:
                label = classes.named(item["template"].replace("[", "").replace("]", ""), where)
            objects = ", ".join(map(str, item.get("placeholders", ())))
            official.splits[split].append(_video(where, identifier, label, {"objects": objects} if objects else {}))
    return official


def _numbered_classes(path: Path) -> Classes:
    numbers = json_of(path)
    if not isinstance(numbers, dict) or sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        raise DataError(f"{path} is no JSON object of class names and the numbers 0 to K - 1.")
    return Classes(sorted(numbers, key=lambda name: int(numbers[name])), path)


def _answers(files: OfficialFiles, classes: Classes) -> dict[str, str]:
    path = files.find("test-answers.csv", "something-something-v2-test-answers.csv")
    answers = {}
    for where, line in lines_of(path) if path is not None else ():
        identifier, _, label = line.partition(";")
        answers[identifier] = classes.named(label, where)
    return answers


def _video(where: object, identifier: str, label: str | None, attributes: dict[str, Attribute]) -> OfficialVideo:
    return OfficialVideo(
        where=where, name=identifier, label=label, clip_names=(identifier,), attributes=attributes, source=""
    )


def _published(source: str, read_splits: tuple[str, ...], **counts: int) -> tuple[Published, ...]:
    return tuple(
        Published(
            split=split,
            count=count,
            source=f"the official list, read; {source}" if split in read_splits else source,
            read=split in read_splits,
        )
        for split, count in counts.items()
    )


SSV1 = DataSet(
    name="ssv1",
    title="Something-Something v1",
    url="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    classes=174,
    splits=tuple(_SPLITS),
    published=_published(
        "not found",
        (),
        train=86_017,
        val=11_522,
        test=10_960,
    ),
    files="something-something-v1-labels.csv, -train.csv, -validation.csv, -test.csv",
    on_disk="ID/00001.jpg ..., folders of frames",
    read=partial(read, prefix="something-something-v1"),
)

SSV2 = DataSet(
    name="ssv2",
    title="Something-Something v2",
    url="https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
    classes=174,
    splits=tuple(_SPLITS),
    published=_published(
        "github.com/OpenGVLab/VideoMAEv2, docs/DATASET.md: 168,913 and 24,777 for training and validation",
        ("val", "test"),
        train=168_913,
        val=24_777,
        test=27_157,
    ),
    files="labels.json, train.json, validation.json, test.json, test-answers.csv (or something-something-v2-*.json)",
    on_disk="ID.webm, ID.mp4, or folders ID of frames",
    read=read_v2,
)

JESTER = DataSet(
    name="jester",
    title="Jester",
    url="https://www.qualcomm.com/developer/software/jester-dataset",
    classes=27,
    splits=tuple(_SPLITS),
    published=_published(
        "github.com/udacity/CVND---Gesture-Recognition, 20bn-jester-v1/annotations, has the same",
        ("train", "val", "test"),
        train=118_562,
        val=14_787,
        test=14_743,
    ),
    files="jester-v1-labels.csv, jester-v1-train.csv, jester-v1-validation.csv, jester-v1-test.csv",
    on_disk="ID/00001.jpg ..., folders of frames, or ID.mp4, ID.webm",
    read=partial(read, prefix="jester-v1"),
)
