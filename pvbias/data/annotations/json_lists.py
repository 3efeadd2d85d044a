"""Annotations in JSON: an object a line, an array of objects, objects by identifier."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...storage import Address
from ..attributes import NO_ATTRIBUTES, AttributePool
from .columns import Columns, check_one_split, find_columns
from .entries import Entry, Where, check_part, parse_label, parse_seconds
from .files import is_video

logger = logging.getLogger(__name__)

_LINE = '{"path": "...", "label": ...}'
#: Keys of Kinetics' form that are no attributes, and those that other forms have another meaning for.
_DESCRIBED = frozenset({"annotations", "subset", "label", "segment", "path", "start", "end"})


def is_json(file: Path | Address, text: str) -> bool:
    """Whether a file is JSON, by its name or its content."""
    if file.suffix.lower() in {".json", ".jsonl", ".ndjson"}:
        return True
    start = text.lstrip()
    return start[:1] in {"{", "["} and (_parses(text) or _parses(start.split("\n", 1)[0]))


def json_entries(file: Path | Address, text: str) -> Iterator[Entry]:
    """The entries of JSON lines, or of a file that is JSON as a whole.

    Raises:
        DataError: it is of another form.
    """
    if file.suffix.lower() not in {".jsonl", ".ndjson"} and _parses(text):
        yield from _document_entries(file, json.loads(text))
        return
    items = []
    for number, line in enumerate(text.split("\n"), 1):
        where = Where(file, number)
        if not line.strip():
            continue
        try:
            items.append((where, json.loads(line)))
        except (ValueError, RecursionError) as error:  # the first of a number of thousands of digits, too
            raise DataError(f"{where}: this is not JSON: {error}") from error
    yield from item_entries(file, items)


def _document_entries(file: Path | Address, document: Any) -> Iterator[Entry]:
    if isinstance(document, list):
        yield from item_entries(
            file, [(Where(file, f"entry {number}"), item) for number, item in enumerate(document, 1)]
        )
        return
    if isinstance(document, dict) and isinstance(document.get("database"), dict):  # as ActivityNet's, UCF101's
        document = document["database"]
    if not isinstance(document, dict) or not document:
        raise DataError(f"{file} is JSON and holds {_shown(document)}, not a list of videos.")
    if all(isinstance(value, dict) and "annotations" in value for value in document.values()):
        yield from _described_entries(file, document)
    elif all(is_video(name) for name in document) and not any(isinstance(v, (dict, list)) for v in document.values()):
        for name, value in document.items():
            where = Where(file, repr(name))
            yield Entry(where=where, name=name, label=parse_label(value, where))
    elif all(isinstance(value, (int, str)) for value in document.values()):
        raise DataError(
            f"{file} looks like a table of classes, not a list of videos: it begins with {_shown(document)}. Give it "
            "as --class-names (DATA.CLASS_NAMES_FILE)."
        )
    else:
        raise DataError(
            f"{file} is JSON of a form that is not known: it begins with {_shown(document)}. Write a .jsonl with lines "
            f"{_LINE}."
        )


def _described_entries(file: Path | Address, document: Mapping[str, Mapping[str, Any]]) -> Iterator[Entry]:
    """The entries of Kinetics' form: ``{ID: {"annotations": {"label": ..., "segment": [start, end]}, "subset":
    ...}}``."""
    check_one_split((str(item["subset"]) for item in document.values() if "subset" in item), file, "subset")
    pool = AttributePool()
    for name, item in document.items():
        where, described = Where(file, repr(name)), item["annotations"]
        if not isinstance(described, dict):
            raise DataError(
                f"{where}: a video with a list of annotations: this looks like temporal localisation (ActivityNet), "
                f"several actions a video. Write a .jsonl with lines {_LINE}, start and end in seconds."
            )
        segment = described.get("segment")
        if segment is not None and not (isinstance(segment, list) and len(segment) == 2):
            raise DataError(f"{where}: the segment {segment!r} is not [start, end] in seconds")
        start, end = (parse_seconds(time, "segment", where) for time in segment or (None, None))
        check_part(start, end, where)
        label = parse_label(described.get("label"), where)
        clip = end is not None and not is_video(name)
        others = {key: value for key, value in {**item, **described}.items() if key not in _DESCRIBED}
        yield Entry(
            where=where,
            name=name,
            label=label,
            start=start,
            end=end,
            attributes=pool.make(tuple(others), tuple(others.values())),
            clip=clip,
            certain=clip or is_video(name) or label is not None,
        )
    _tell_of_nested(pool, file)


def item_entries(file: Path | Address | str, items: Iterable[tuple[object, Any]]) -> Iterator[Entry]:
    """The entries of objects with a path, a label, ..., each with where it stands.

    Raises:
        DataError: one is of another form.
    """
    splits = []
    pool = AttributePool()
    known: dict[tuple[str, ...], Columns | None] = {}
    for where, item in items:
        if isinstance(item, str) and is_video(item):
            yield Entry(where=where, name=item)
            continue
        columns = None
        if isinstance(item, dict):
            keys = tuple(item)
            if keys not in known:
                known[keys] = find_columns(keys, where, strict=False)
            columns = known[keys]
        name = item[columns.path] if columns else None
        if isinstance(name, int) and columns and columns.identifier and not isinstance(name, bool):
            name = str(name)
        if columns is None or not isinstance(name, str) or not name:
            raise DataError(f"{where}: a line is {_LINE}, this is {_shown(item)}")
        if "\0" in name:
            raise DataError(f"{where}: the path {name!r} has a NUL character, which no file name has")
        if columns.split:
            splits.append(str(item[columns.split]))
        yield _item_entry(item, name, columns, pool, where)
    _tell_of_nested(pool, file)
    if splits:
        check_one_split(splits, file, "subset")


def _item_entry(item: Mapping[str, Any], name: str, columns: Columns, pool: AttributePool, where: object) -> Entry:
    label = item[columns.label] if columns.label else None
    attributes = columns.attributes
    if columns.label and isinstance(item.get("template"), str):
        # Something-Something: the label is a sentence of this one video, the template with brackets its class.
        label = item["template"].replace("[", "").replace("]", "")
        attributes = tuple(name for name in attributes if name != "template")
    start = parse_seconds(item[columns.start], columns.start, where) if columns.start else None
    end = parse_seconds(item[columns.end], columns.end, where) if columns.end else None
    check_part(start, end, where)
    number = parse_label(label, where)
    clip = columns.identifier and end is not None and not is_video(name)
    return Entry(
        where=where,
        name=name,
        label=number,
        start=start,
        end=end,
        attributes=pool.make(attributes, tuple([item[key] for key in attributes])) if attributes else NO_ATTRIBUTES,
        clip=clip,
        certain=clip or not columns.identifier or is_video(name) or number is not None,
    )


def _tell_of_nested(pool: AttributePool, file: Path | Address | str) -> None:
    for name, count in pool.nested.items():
        logger.info(
            "%s: %r is a list or an object (%d times), which is no attribute: it is left out.", file, name, count
        )


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = dict(list(value.items())[:1])
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
