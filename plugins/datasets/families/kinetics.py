"""Kinetics and what has its form: ``label,youtube_id,time_start,time_end,split``, or JSON by YouTube identifier.

Clips are named ``ID_000010_000020`` on disk, or ``ID``; a file ``ID`` may also be the whole video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pvbias.data.annotations.entries import Where, check_part, is_number
from pvbias.data.attributes import Attribute
from pvbias.errors import DataError

from ..catalogue import DataSet, Published
from ..locating import VideoIndex
from ..official import Official, OfficialFiles, OfficialVideo, json_of, lines_of, table_of, wrong_line

_SPLITS = ("train", "val", "test")
_COLUMNS = ("youtube_id", "time_start", "time_end")
_KNOWN = {"label", *_COLUMNS, "split"}


def read(files: OfficialFiles | None, videos: VideoIndex, *, number: str) -> Official:
    """Read the lists of Kinetics-``number``; see :class:`.DataSet`.

    Classes have their official order, that of their sorted names.
    """
    assert files is not None
    official = Official(class_names=())
    names = {split: _file_names(split, number) for split in _SPLITS}
    official.splits = {split: [*clips(path)] for split, path in files.of_splits(official, names)}
    if not official.splits:
        raise DataError(f"Kinetics: {official.absent['train']}")
    named = {video.label for found in official.splits.values() for video in found} - {None}
    official.class_names = tuple(sorted(map(str, named)))
    return official


def _file_names(split: str, number: str) -> tuple[str, ...]:
    spelt = {"val": ("val", "validate", "validation")}.get(split, (split,))
    own = f"kinetics_{number.replace('-', '_')}"
    stems = [
        *spelt,
        *(f"{prefix}_{each}" for prefix in (f"kinetics-{number}", own, own.replace("_", "", 1)) for each in spelt),
        *(f"kinetics_{each}" for each in spelt),
    ]
    return tuple(f"{stem}.{suffix}" for suffix in ("csv", "json") for stem in stems)


def clips(path: Path) -> Iterator[OfficialVideo]:
    """The clips of a list in Kinetics' form, CSV or JSON.

    Raises:
        DataError: it has another.
    """
    for where, row in _json_rows(path) if path.suffix == ".json" else table_of(path, _COLUMNS):
        name = row["youtube_id"]
        if not is_number(row["time_start"]) or not is_number(row["time_end"]):
            raise wrong_line(where, f"{name},{row['time_start']},{row['time_end']}", "an identifier with two times")
        start, end = float(row["time_start"]), float(row["time_end"])
        check_part(start, end, where)
        attributes: dict[str, Attribute] = {"youtube_id": name}
        attributes |= {key: value for key, value in row.items() if key not in _KNOWN and value != ""}
        yield OfficialVideo(
            where=where,
            name=f"{name}_{round(start):06d}_{round(end):06d}",
            label=row.get("label") or None,
            clip_names=(f"{name}_{round(start):06d}_{round(end):06d}",),
            source_names=(name,),
            start=start,
            end=end,
            source=name,
            attributes=attributes,
        )


def _json_rows(path: Path) -> Iterator[tuple[Where, dict[str, str]]]:
    document = json_of(path)
    if not isinstance(document, dict):
        raise DataError(f"{path} is no JSON object of videos by identifier, which is Kinetics' form.")
    for name, item in document.items():
        where = Where(path, repr(name))
        described: Any = item.get("annotations") if isinstance(item, dict) else None
        segment = described.get("segment") if isinstance(described, dict) else None
        if not isinstance(segment, list) or len(segment) != 2:
            raise DataError(f"{where}: there are no annotations with one segment. This is no file of Kinetics.")
        start, end = map(str, segment)
        yield where, {"youtube_id": name, "time_start": start, "time_end": end, "label": described.get("label") or ""}


def read_mini(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read mini-Kinetics-200: lists of identifiers, whose labels and times are in those of Kinetics-400."""
    assert files is not None
    official = Official(class_names=())
    lists = dict(files.of_splits(official, {split: [f"{split}_ytid_list.txt"] for split in ("train", "val")}))
    known: dict[str, OfficialVideo] = {}
    for split in _SPLITS:
        path = files.find(*_file_names(split, "400"))
        known |= {video.source: video for video in clips(path)} if path is not None else {}
    if not known:
        raise DataError(
            "Mini-Kinetics-200 lists identifiers alone; labels and times are those of Kinetics-400: "
            f"{files.absent('train.csv')}. Put Kinetics-400's files beside them."
        )
    for split, path in lists.items():
        listed = [(where, line) for where, line in lines_of(path)]
        bad = next(((where, line) for where, line in listed if len(line) != 11), None)
        if bad is not None:
            raise wrong_line(*bad, "the identifier of a YouTube video")
        # Of those that nothing is known of, no file is looked for: nothing says what it would show.
        official.splits[split] = [
            known.get(line) or OfficialVideo(where=where, name=line, source=line) for where, line in listed
        ]
        unknown = sum(video.label is None for video in official.splits[split])
        if unknown:
            official.notes.append(
                f"{split}: {unknown} of the {len(listed)} identifiers of {path.name} are not in these lists of "
                "Kinetics-400, and so without a label; they are counted as missing."
            )
    named = {video.label for found in official.splits.values() for video in found} - {None}
    official.class_names = tuple(sorted(map(str, named)))
    return official


def read_mimetics(files: OfficialFiles | None, videos: VideoIndex) -> Official:
    """Read Mimetics: Kinetics' form, and beside it what is seen of the usual object and scene."""
    assert files is not None
    found = [*clips(files.require("mimetics_v1.0.csv"))]
    path = files.find("mimetics_v1.0_objectsceneannot.txt")
    seen: dict[str, dict[str, Attribute]] = {}
    for where, line in lines_of(path)[1:] if path is not None else ():
        cells = line.split()
        if len(cells) != 4 or not {*cells[1:]} <= {"yes", "no"}:
            raise wrong_line(where, line, "`VIDEO.mp4 yes|no yes|no yes|no`")
        values = [cell == "yes" for cell in cells[1:]]
        seen[cells[0].removesuffix(".mp4")] = dict(zip(("object", "scene", "mime"), values, strict=True))
    videos_seen = [replace(video, attributes={**video.attributes, **seen.get(video.name, {})}) for video in found]
    return Official(class_names=tuple(sorted({str(video.label) for video in found})), splits={"test": videos_seen})


def _kinetics(number: str, classes: int, *counts: Published) -> DataSet:
    name = f"kinetics{number.replace('-', '_')}"
    return DataSet(
        name=name,
        title=f"Kinetics-{number}",
        url="https://github.com/cvdfoundation/kinetics-dataset",
        classes=classes,
        splits=_SPLITS,
        published=counts,
        files="train.csv, val.csv (validate.csv), test.csv, or the same as .json",
        on_disk="ID_000010_000020.mp4 or ID.mp4, in folders of classes or of splits, or flat",
        read=partial(read, number=number),
    )


_CRAWLER = "github.com/activitynet/ActivityNet, Crawler/Kinetics/data/kinetics-{}_{}.csv, read"
_FIFTYONE = "github.com/voxel51/fiftyone, fiftyone/zoo/datasets/base.py, {} split stats"


def _crawled(number: str, split: str, count: int) -> Published:
    """The count of a list that was read."""
    return Published(split=split, count=count, source=_CRAWLER.format(number, split), exact=False, read=True)


def _said(source: str, **counts: int) -> list[Published]:
    return [Published(split=split, count=count, source=source, exact=False) for split, count in counts.items()]


KINETICS = (
    _kinetics(
        "400",
        400,
        *_said(
            "analyticsindiamag.com, Deep dive into Kinetics: 306,245 clips, of each class 50 for validation and 100 "
            "for testing; 246,245 are left",
            train=246_245,
        ),
        *_said(_FIFTYONE.format("original"), train=219_782),
        _crawled("400", "val", 19_906),
        _crawled("400", "test", 38_685),
        *_said("git-disl.github.io/GTDLBench/datasets/kinetics_datasets: at most 100 of each class", test=40_000),
    ),
    _kinetics(
        "600",
        600,
        *_said(_FIFTYONE.format("original"), train=370_582, test=56_618),
        *_said(_FIFTYONE.format("CVDF"), train=427_549),
        _crawled("600", "val", 30_000),
        _crawled("600", "test", 72_924),
        *_said("not found (arXiv:1808.01340, Table 1, could not be read)", test=60_000),
    ),
    _kinetics(
        "700",
        700,
        *_said(_FIFTYONE.format("original"), train=529_046, val=33_925, test=67_446),
        *_said("not found (arXiv:1907.06987 could not be read)", train=545_317, val=35_000, test=70_000),
    ),
    _kinetics(
        "700-2020",
        700,
        *_said(_FIFTYONE.format("original"), train=542_352, val=34_125, test=67_433),
    ),
)

MINI_KINETICS = DataSet(
    name="minikinetics200",
    title="Mini-Kinetics-200",
    url="https://github.com/s9xie/Mini-Kinetics-200",
    classes=200,
    splits=("train", "val"),
    published=tuple(
        Published(
            split=split,
            count=200 * each,
            source="github.com/s9xie/Mini-Kinetics-200, README: 400 and 25 of each of 200 classes; the lists, read",
            per_class=each,
            read=True,
        )
        for split, each in (("train", 400), ("val", 25))
    ),
    files="train_ytid_list.txt, val_ytid_list.txt and those of Kinetics-400",
    on_disk="as Kinetics-400",
    read=read_mini,
)

MIMETICS = DataSet(
    name="mimetics",
    title="Mimetics",
    url="https://europe.naverlabs.com/research/computer-vision/mimetics/",
    classes=50,
    splits=("test",),
    published=(
        Published(
            split="test",
            count=713,
            source="the official list mimetics_v1.0.csv, read",
            read=True,
        ),
    ),
    files="mimetics_v1.0.csv, mimetics_v1.0_objectsceneannot.txt",
    on_disk="ID_000010_000020.mp4 in folders of classes, or flat",
    read=read_mimetics,
)
