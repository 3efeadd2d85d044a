"""Preparation of a data set's lists from its official files and the videos on disk (`pvbias data prepare`).

::

    official files -> videos of each split -+-> OUT/train1.csv, ...    path, label, start, end, attributes
    folder of videos -> names on disk ------+   OUT/class_names.txt    in official order
                                                OUT/videos             a link to the folder of videos
                                                OUT/report.json        what was found, is missing, is there twice
                                                OUT/missing.csv        the videos that are listed and not on disk
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pvbias.data.annotations import CLASS_NAMES, Listed, read_class_names, text_lines
from pvbias.data.annotations.lines import write_row
from pvbias.data.attributes import Attribute
from pvbias.data.records import VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.files import write_atomically
from pvbias.storage.local_cache import current_cache
from pvbias.video.stored import open_file
from pvbias.video.video import BadVideoError

from .account import Account, SplitAccount, shared_between
from .catalogue import DataSet, check_counts
from .locating import VideoIndex
from .official import Official, OfficialFiles, OfficialVideo

#: Names in the folder of lists, beside CLASS_NAMES.
LINK, REPORT, MISSING = "videos", "report.json", "missing.csv"

#: Seconds that a cut file may be longer than the part that it holds, and a whole one end before it.
_MARGIN = 2.0


def prepare_lists(
    data_set: DataSet,
    videos: str,
    annotations: str | None,
    out: str | Path,
    *,
    splits: Sequence[str] = (),
    other_counts: bool = False,
) -> Account:
    """Write the lists of a data set.

    Args:
        data_set: which.
        videos: the folder of its videos, or the address of one.
        annotations: the folder of its official files; None: it is listed by its videos alone.
        out: the folder for the lists, made when missing. What an earlier preparation has left there is replaced: lists
            of splits that are not prepared again are removed, and noted.
        splits: which; empty: all whose official files are there.
        other_counts: numbers of videos may differ from the published ones.

    Returns:
        What was found; it is in ``OUT/report.json``, too.

    Raises:
        ConfigError: there is no such split, ``out`` lies in ``videos``, or it has the lists of another data set.
        DataError: official files are missing, damaged, of another data set or of other counts than published; a video
            on disk may be one of two; or nothing of a split is on disk.
    """
    unknown = [split for split in splits if split not in data_set.splits]
    if unknown:
        raise ConfigError(f"{data_set.title} has no split {unknown[0]!r}, but {', '.join(data_set.splits)}.")
    out = Path(os.path.expanduser(out))
    index = VideoIndex(videos)
    _check_place(out, index)
    files = OfficialFiles(Path(os.path.expanduser(annotations))) if annotations is not None else None
    if files is None and data_set.has_files:
        raise ConfigError(f"{data_set.title} needs its official files: --annotations, with {data_set.files}.")
    official = data_set.read(files, index)
    absent = [split for split in splits if split in official.absent]
    if absent:
        raise DataError(f"{data_set.title}, {absent[0]}: {official.absent[absent[0]]}.")
    if not official.splits:
        raise DataError(f"{data_set.title}: {'; '.join(official.absent.values())}.")
    check_counts(data_set, official, other_counts=other_counts)
    wanted = [split for split in data_set.splits if split in official.splits and (not splits or split in splits)]
    official.splits = {split: official.splits[split] for split in wanted}
    account = Account.begin(data_set, official, files, videos)
    lists = {split: _locate(official.splits[split], split, index, account.splits[split]) for split in wanted}
    if not any(lists.values()):
        raise DataError(
            f"None of the {sum(map(len, official.splits.values())):,} videos of {data_set.title} is below {videos}: "
            f"their names are {data_set.on_disk}; the first is {official.splits[wanted[0]][0].name!r}."
        )
    account.shared = shared_between(official)
    for name in _remove_others(out, data_set, wanted):
        account.notes.append(f"{name} of an earlier preparation is removed: its split was not prepared again.")
    _write(out, index, official, lists, account)
    return account


def _check_place(out: Path, index: VideoIndex) -> None:
    folder = index.folder
    if isinstance(folder, Path):
        real = Path(os.path.realpath(out))
        if real.is_relative_to(os.path.realpath(folder)):
            raise ConfigError(f"{out} lies in the folder of videos, {folder}: give another folder for the lists.")
        link = out / LINK
        if os.path.lexists(link) and not link.is_symlink():
            raise ConfigError(f"{link} is there and no link, as lists that `pvbias data prepare` writes have it.")


def _remove_others(out: Path, data_set: DataSet, wanted: Sequence[str]) -> list[str]:
    """Remove the lists that an earlier preparation has written and this one does not; their names."""
    try:
        earlier = json.loads((out / REPORT).read_text(encoding="utf-8"))
        name, splits = earlier["name"], list(earlier["splits"])
    except (OSError, ValueError, TypeError, KeyError):
        return []  # there was none
    if name != data_set.name:
        raise ConfigError(f"{out} has lists of {name} ({REPORT}): give those of {data_set.name} a folder of their own.")
    removed = []
    for path in (out / f"{split}.csv" for split in splits if split not in wanted):
        if path.is_file():
            path.unlink()
            removed.append(path.name)
    return removed


def _locate(
    videos: Sequence[OfficialVideo], split: str, index: VideoIndex, account: SplitAccount
) -> list[tuple[OfficialVideo, str]]:
    """The videos of a split that are on disk, each with the name of its file; those of cut files without part."""
    found: list[tuple[OfficialVideo, str]] = []
    doubtful: list[int] = []
    for video in videos:
        place = index.find(video, split)
        account.count(video, found=place is not None)
        if place is None:
            continue
        name, whole = place
        if whole and video.clip_names:
            doubtful.append(len(found))
        found.append((video if whole else _cut(video), name))
    if doubtful and not _are_whole([found[number] for number in doubtful], index):
        taken: dict[str, OfficialVideo] = {}
        for number in doubtful:
            video, name = found[number]
            other = taken.setdefault(name, video)
            if other is not video:
                raise DataError(
                    f"{video.where}: {name!r} may be the clip {video.name!r} or {other.name!r} of the same video. "
                    f"Name files as {video.name!r}."
                )
            found[number] = (_cut(video), name)
    return found


def _cut(video: OfficialVideo) -> OfficialVideo:
    return video if video.start is video.end is None else replace(video, start=None, end=None)


def _are_whole(found: Sequence[tuple[OfficialVideo, str]], index: VideoIndex) -> bool:
    """Whether files that have the name of a whole video are whole, or hold just the part that is meant.

    Each of them is opened. One that may be either, a whole video that is hardly longer than its part, is as the others.

    Raises:
        DataError: some are, and others not.
    """
    kinds: dict[bool, str] = {}
    for video, name in found:
        whole = _is_whole(video, index.paths[name])
        if whole is not None:
            kinds.setdefault(whole, name)
    if len(kinds) > 1:
        raise DataError(
            f"{kinds[True]!r} in {index.folder} is longer than the clip that is listed, and {kinds[False]!r} is not: "
            "are these whole videos or the clips cut from them? Put the two kinds into folders of their own."
        )
    return True in kinds


def _is_whole(video: OfficialVideo, path: str) -> bool | None:
    """Whether a file is a whole video, by its length; None: that does not tell."""
    if video.end is None or os.path.isdir(path):
        return False
    try:
        with closing(open_file(path, current_cache())) as opened:
            duration = opened.duration
    except BadVideoError:
        return None  # `pvbias check` tells
    if duration < video.end - _MARGIN:
        return False
    return True if duration > video.end - (video.start or 0.0) + _MARGIN else None


def _write(
    out: Path,
    index: VideoIndex,
    official: Official,
    lists: Mapping[str, Sequence[tuple[OfficialVideo, str]]],
    account: Account,
) -> None:
    local = isinstance(index.folder, Path)
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(index.folder, Path):
        link = out / LINK
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.abspath(index.folder), target_is_directory=True)
    for split, found in lists.items():
        listed = [_listed(video, f"{LINK}/{name}" if local else index.paths[name]) for video, name in found]
        _write_lines(out / f"{split}.csv", text_lines(listed))
    _write_lines(out / CLASS_NAMES, official.class_names)
    if read_class_names(out / CLASS_NAMES) != official.class_names:
        raise DataError(f"{out / CLASS_NAMES} cannot hold the names of {account.title}'s classes.")
    rows = [write_row(split, name) for split, each in account.splits.items() for name in each.missing]
    _write_lines(out / MISSING, ["split,name", *rows])
    report = json.dumps(account.to_dict(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / REPORT, report.encode("utf-8", "surrogateescape"))


def _listed(video: OfficialVideo, path: str) -> Listed:
    attributes: dict[str, Attribute] = dict(video.attributes)
    if video.classes:
        attributes["classes"] = ";".join(video.classes)
    record = VideoRecord(path=path, name=path, start=video.start, end=video.end, attributes=attributes)
    return Listed(path, video.label, record)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
