"""Reading of annotations: from a file or folder to records with numbers for labels."""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, did_you_mean
from ...storage import Address, expand, is_address
from ...storage.local_cache import current_cache
from ...storage.shards import Shards, is_shards
from ..record_list import RecordList
from .class_names import read_class_names
from .entries import Entries, Entry, Where
from .files import Files, ShardFiles, are_videos, clip_name, find_clips, is_video
from .folders import folder_entries
from .json_lists import is_json, json_entries
from .lines import line_entries, read_rows, simple_entries, tsn_entries
from .names import ClassNumbers
from .shard_lists import shard_entries
from .tables import has_heading, table_entries
from .text import numbered_lines, read_text

logger = logging.getLogger(__name__)

#: The file beside a list that has the names of its classes in order.
CLASS_NAMES = "class_names.txt"

#: HMDB51's files of splits: which part of split 1, 2 or 3 each video of a class belongs to.
_SPLIT_CODES = re.compile(r"(?P<class>.+)_test_split[0-9]+")
#: How all of HMDB51's videos end: camera, people, view, quality.
_HMDB51 = re.compile(r".*?_?(?P<class>[^_]+)_[fhlu]_(?:cm|nm)_np[0-9]+_(?:ba|fr|le|ri)_(?:bad|goo|med)_[0-9]+\.\w+")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """The records and class names of a split.

    Attributes:
        path: the file or folder.
        records: in the order of the annotation (of the sorted names, for folders).
        class_names: names of the classes 0 .. K-1; empty where labels are numbers without names.
        own_names: they are those found here, sorted, and not those of a file, a checkpoint or the training split.
        by_name: labels are written as names here, and not as numbers.
    """

    path: str
    records: RecordList
    class_names: tuple[str, ...]
    own_names: bool = False
    by_name: bool = False


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let no garbage be collected inside: it would look for cycles among all of the millions of parts of a list, again
    and again, and there are none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_uncollected()
def read_annotation(
    path: str | os.PathLike | Address,
    *,
    path_prefix: str = "",
    class_names: Sequence[str] = (),
    training_names: Callable[[], Sequence[str]] = tuple,
    list_format: str = "auto",
    first_label: int | None = None,
    names_from: str = "the training split",
) -> Annotation:
    """Read the annotation of a split, in any form.

    - lines ``path label``, the separator white space, a comma, a semicolon or a tab; what follows a video's file name
      is the label, which may be a class name with spaces, or be missing. Empty lines and lines that begin with ``#``
      are skipped.
    - a table whose first line names its columns: path (or file, video, ...) and label (or class, ...); others that
      have a name are attributes. With identifiers and times, as Kinetics' own lists have them, the files are searched
      for below ``path_prefix`` under their usual names (``ID_000010_000020.mp4`` or ``ID.mp4``, also in folders of the
      classes).
    - JSON lines (``.jsonl``): ``{"path": ..., "label": number or class name, "start": seconds, "end": seconds}``; all
      but the path may be left out, and other keys are attributes. A JSON array of such objects, Something-Something's
      (whose class is the template, not the sentence), and Kinetics' object by identifier.
    - a folder: each subfolder is a class when all videos lie in subfolders; with a video directly in it, it is a list
      of videos without labels. Subfolders are searched to any depth. A folder of nothing but images is one video.
    - tar files, ``train-{0000..0099}.tar``: see :mod:`.shard_lists`.

    Each of these may be at an address (:mod:`pvbias.storage`), and so may ``path_prefix``, which may be tar files, too.

    A name without a suffix is a folder of frames, or the one video of that name with one. Anything else is an error
    that names the line and the form it looks like: three columns, several labels, a list of class names, split codes.

    Labels that are names get numbers: their position in ``class_names``, else in the names of the training split, else
    in the file ``class_names.txt`` beside the list, where there is one, else in the sorted names found here. A subset
    that lacks a class thus keeps the numbers of the training. Case, spaces, underscores and punctuation do not matter
    where no two classes would then be one.

    Attributes (:mod:`pvbias.data.attributes`) of JSON have the types that JSON gives them: text, number, true or false;
    null is none, lists and objects are left out. A column of a table is whole numbers where all its cells are, numbers
    where all are, and text otherwise (also where a number has a leading zero); an empty cell is none.

    Args:
        path: file or folder.
        path_prefix: folder that relative paths are relative to; empty: the annotation's own folder.
        class_names: names in label order, if they are known.
        training_names: gives the names that the training split (or the checkpoint) uses; asked only when names are to
            be numbered without ``class_names``.
        list_format: DATA.LIST_FORMAT: "auto", the form that the list shows, or "tsn", the three columns of TSN, TSM
            and mmaction2.
        first_label: the number of the first class in the list, 0 or 1; None: 0, as nearly everywhere.
        names_from: whose names the known ones are, for messages.

    Raises:
        DataError: the annotation is missing or wrong (naming file and line), or names no video.
    """
    path = expand(path)
    if is_shards(path):
        shards = Shards(path, current_cache())
        entries = Entries(shard_entries(shards))
        paths = [*map(shards.path, entries.names)]
    elif path.is_dir():
        entries = Entries(folder_entries(path))
        paths = [*map(str, entries.where)]
    elif path.is_file():
        entries = _file_entries(path, list_format)
        paths = _find_paths(entries, expand(path_prefix) if path_prefix else path.parent, path)
    else:
        raise DataError(
            f"There is no annotation {path}. Give a CSV of `path label` lines, a .jsonl, or a folder of videos."
        )
    if not entries:
        raise DataError(f"{path} names no video.")
    _check_one_kind(entries)
    _check_split_codes(entries, path)
    _shift_labels(entries, first_label or 0)
    own = sorted(label for label in {*entries.labels} if isinstance(label, str))
    names = tuple(class_names)
    own_names = False
    if own and not names:
        names = tuple(training_names())
        if not names and (beside := _names_beside(path)) is not None:
            names, names_from = read_class_names(beside), str(beside)
        if not names:
            _check_sentences(entries, own, path)
            _check_spelling(entries)
            names, own_names = tuple(own), True
    numbers = _numbers(entries, ClassNumbers(names), names_from) if own else {}
    _warn_of_other_labels(entries, paths)
    if True in entries.clips:
        _name_clips(entries)
    records = RecordList(
        names=entries.names,
        paths=paths,
        labels=[numbers.get(label, label) for label in entries.labels] if numbers else entries.labels,
        starts=entries.starts,
        ends=entries.ends,
        attributes=entries.attributes,
    )
    _warn_of_missing_labels(entries)
    return Annotation(path=str(path), records=records, class_names=names, own_names=own_names, by_name=bool(own))


def _names_beside(path: Path | Address) -> Path | None:
    """The file of class names that lies beside a list."""
    beside = path.parent / CLASS_NAMES if isinstance(path, Path) and path.is_file() else None
    return beside if beside is not None and beside.is_file() else None


def _file_entries(file: Path | Address, list_format: str) -> Entries:
    if is_video(file.name):
        raise DataError(f"{file} is a video, not a list of videos. Give a list that names it, or its folder.")
    text = read_text(file)
    if is_json(file, text):
        return Entries(json_entries(file, text))
    simple = simple_entries(file, text) if list_format != "tsn" else None
    if simple is not None:
        return simple
    lines = numbered_lines(file, text)
    if not lines:
        return Entries()
    if list_format == "tsn":
        return Entries(tsn_entries(read_rows(lines)))
    return Entries(table_entries(lines) if has_heading(lines) else _plain_entries(lines))


def _plain_entries(lines: Sequence[tuple[Where, str]]) -> Iterator[Entry]:
    """The entries of lines without a heading.

    Raises:
        DataError: the first is no video, and all others are.
    """
    rows = read_rows(lines)
    yield from line_entries(rows)
    if len(rows) > 2 and not is_video(rows[0].path) and all(is_video(row.path) for row in rows[1:]):
        raise DataError(
            f"{rows[0].where}: {rows[0].text[:80]!r} is no video, and all other lines are. If it names the columns, "
            "call them path and label."
        )


def _find_paths(entries: Entries, folder: Path | Address, path: Path | Address) -> list[str]:
    """The paths of the entries' videos, there or not.

    Raises:
        DataError: what the list names need not be videos, and none of it is there.
    """
    files = ShardFiles(Shards(folder, current_cache())) if is_shards(folder) else Files(folder)
    root = files.root
    if True not in entries.clips and False not in entries.certain and are_videos(entries.names):
        return files.paths(entries.names)
    clips = find_clips([entry for entry in entries if entry.clip], root) if True in entries.clips else {}
    paths = []
    some = False
    for number, (name, clip) in enumerate(zip(entries.names, entries.clips, strict=True)):
        if clip:
            place = clips.get(entries[number]) or files.path(f"{clip_name(entries[number])}.mp4")
        elif is_video(name) or is_address(name):
            place = files.path(name)
        else:
            found = files.find(entries[number])
            some = some or found is not None
            place = found or files.path(name)
        paths.append(place)
    doubtful = entries[entries.certain.index(False)] if False in entries.certain else None
    if not some and doubtful is None:
        doubtful = _first_of_numbered_names(entries)
    if doubtful is not None and not some:
        raise DataError(
            f"{doubtful.where}: {_shown(doubtful)} names no video file, and nothing below {root} is called "
            f"{doubtful.name!r}, with or without a video's suffix. If {path.name} lists classes, give it as "
            "--class-names (DATA.CLASS_NAMES_FILE); if it lists identifiers of videos, set --path-prefix "
            "(DATA.PATH_PREFIX) to their folder; else write lines of `path label`."
        )
    return paths


def _first_of_numbered_names(entries: Entries) -> Entry | None:
    """The first entry of a list of classes taken for one of videos: all names have the numbers 0, 1, 2, ... in
    order."""
    in_order = any(entries.labels == list(range(first, first + len(entries))) for first in (0, 1))
    return entries[0] if in_order and len(entries) > 2 and not any(map(is_video, entries.names)) else None


def _shown(entry: Entry) -> str:
    return repr(entry.name) if entry.label is None else f"{entry.name!r} with the label {entry.label!r}"


def _check_one_kind(entries: Entries) -> None:
    """Raise DataError where some labels are numbers and others names: a mistake in one of the lines."""
    by_kind = {type(label): entries[number] for label, number in reversed(entries.first_of_labels().items())}
    by_kind.pop(type(None), None)
    if len(by_kind) > 1:
        number, name = by_kind[int], by_kind[str]
        raise DataError(
            f"{name.where}: the label {name.label!r} is a name, but the one in {number.where} is the number "
            f"{number.label}. Write either numbers or class names."
        )


def _check_split_codes(entries: Entries, path: Path | Address) -> None:
    """Raise DataError for HMDB51's codes of splits, which look like labels."""
    codes = {*entries.labels}
    if not codes <= {0, 1, 2}:
        return
    by_class: dict[str, set[int | str | None]] = {}
    for entry in entries:
        match = _HMDB51.fullmatch(os.path.basename(entry.name))
        if match is None:
            return
        by_class.setdefault(match["class"], set()).add(entry.label)
    named = _SPLIT_CODES.fullmatch(path.stem)
    if named or (len(codes) > 1 and all(len(labels) > 1 for labels in by_class.values())):
        classes = f"its class is {named['class']!r}, the file's name" if named else "its class is in its name"
        raise DataError(
            f"{entries[0].where}: these are HMDB51's codes of a split, not labels: 1 is training, 2 testing, 0 neither "
            f"of them. Write lists of the training and of the testing videos with `path class` lines; {classes}."
        )


def _check_sentences(entries: Entries, own: Sequence[str], path: Path | Address) -> None:
    """Raise DataError where nearly each video has a text of its own: descriptions are no classes."""
    long = sum(len(name.split()) > 2 for name in own)
    if len(entries) >= 10 and len(own) > len(entries) / 2 and long > len(own) / 2:
        first = next(entry for entry in entries if isinstance(entry.label, str))
        raise DataError(
            f"{first.where}: {path.name} has {len(own)} different labels on {len(entries)} videos, such as "
            f"{first.label!r}: these look like sentences, not classes. Write each video's class, or give the classes "
            "as --class-names (DATA.CLASS_NAMES_FILE)."
        )


def _check_spelling(entries: Entries) -> None:
    """Raise DataError where two classes differ in case, spaces and underscores only: a typing error makes a class of
    its own, and gives other numbers to those behind it."""
    spelt: dict[str, Entry] = {}
    for label, number in entries.first_of_labels().items():
        if isinstance(label, str):
            entry = entries[number]
            first = spelt.setdefault(re.sub(r"[\s_]+", " ", label).casefold(), entry)
            if first.label != label:
                raise DataError(
                    f"{entry.where}: the class {entry.label!r} is {first.label!r} in {first.where}. Write it one way; "
                    "if these are two classes, give the names of all as --class-names (DATA.CLASS_NAMES_FILE)."
                )


def _name_clips(entries: Entries) -> None:
    """Give clips the names of their files, which hold just the part that is meant."""
    for number, entry in enumerate(entries):
        if entry.clip:
            entries.names[number] = clip_name(entry)
            entries.starts[number] = entries.ends[number] = None


def _warn_of_other_labels(entries: Entries, paths: Sequence[str]) -> None:
    """Warn where a video is listed again with another label: no prediction is right for both."""
    # What normpath would change has one of these in it.
    plain = [os.path.normpath(path) if "//" in path or "/." in path else path for path in paths]
    if len({*plain}) == len(plain):
        return
    known: dict[tuple[str, float | None, float | None], int] = {}
    again = []
    for number, (path, label) in enumerate(zip(plain, entries.labels, strict=True)):
        if label is not None:
            part = (None, None) if entries.clips[number] else (entries.starts[number], entries.ends[number])
            first = known.setdefault((path, *part), number)
            again += [(first, number)] if entries.labels[first] != label else []
    if again:
        first_entry, entry = (entries[number] for number in again[0])
        logger.warning(
            "%s: %r has the label %r, and in %s %r; in all, %d lines give a video another label than one before. "
            "Several labels of one video (multi-label) are not supported.",
            *(entry.where, entry.name, entry.label, first_entry.where, first_entry.label, len(again)),
        )


def _warn_of_missing_labels(entries: Entries) -> None:
    """Warn of lines without a label, which may be meant or cut off: figures that need one are of the other videos
    only."""
    without = entries.labels.count(None)
    if 0 < without < len(entries):
        first = entries.first_with(None)
        logger.warning(
            "%s: %r has no label; in all, %d of %d lines have none: accuracy is that of the others.",
            *(first.where, first.name, without, len(entries)),
        )


def _shift_labels(entries: Entries, first: int) -> None:
    """Count number labels from ``first``."""
    if not first:
        return
    for label, number in entries.first_of_labels().items():
        if isinstance(label, int) and label < first:
            raise DataError(f"{entries.where[number]}: the label {label} is below DATA.LABELS_START_AT = {first}.")
    entries.labels[:] = [label - first if isinstance(label, int) else label for label in entries.labels]


def _numbers(entries: Entries, classes: ClassNumbers, names_from: str) -> dict[str, int]:
    """Number all class names of the entries.

    Raises:
        DataError: some are of no class.
    """
    numbers: dict[str, int] = {}
    unknown: dict[str, Entry] = {}
    for label, place in entries.first_of_labels().items():
        if isinstance(label, str):
            number = classes.find(label)
            if number is None:
                unknown[label] = entries[place]
            else:
                numbers[label] = number
    if unknown:
        name, entry = next(iter(unknown.items()))
        others = f", nor {len(unknown) - 1} other names of this list" if len(unknown) > 1 else ""
        raise DataError(
            f"{entry.where}: there is no class {name!r}{others} among the {len(classes.names)} of {names_from}. "
            f"{did_you_mean(name, classes.names)}"
        )
    return numbers
