"""Files of class names, in label order or with the labels."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...storage import Address, expand
from .lines import VIDEO_LINE
from .text import numbered_lines, read_text

_NUMBER_FIRST = re.compile(r"(?P<number>[0-9]+)\s*[\s,;:]\s*(?P<name>\S.*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*\S)\s*[,;\t]\s*(?P<number>[0-9]+)")
_HEADING = re.compile(r"(?i)(?:(?:class|label)?_?(?:id|idx|index|number|label|name|class|category)[\s,;]*){2}")


def read_class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Read class names in label order.

    - one name a line;
    - a number and a name a line, in any order (``0 abseiling``, ``1,air drumming``, ``clapping,0``), numbers 0 to
      K - 1 or 1 to K, each once; a heading such as ``id,name`` is skipped;
    - JSON: an array of names, or an object of name and number.

    Raises:
        DataError: the file is missing, empty, has other columns, skips a number, or names a class twice.
    """
    file = expand(path)
    text = read_text(file)
    said = f"{file} (DATA.CLASS_NAMES_FILE)"
    names = _json_names(text, said) if text.lstrip()[:1] in {"{", "["} and _is_json(text) else _line_names(file, text)
    if not names:
        raise DataError(f"{said} names no class.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{said} names a class twice: {', '.join(twice[:5])}")
    return tuple(names)


def _line_names(file: Path | Address, text: str) -> list[str]:
    lines = numbered_lines(file, text)
    for where, line in lines:
        if VIDEO_LINE.fullmatch(line):
            raise DataError(f"{where}: {line[:80]!r} is a video. A file of class names has one name a line, no videos.")
    if len(lines) > 1 and _HEADING.fullmatch(lines[0][1]):
        lines = lines[1:]
    for form in (_NUMBER_FIRST, _NUMBER_LAST):
        matches = [form.fullmatch(line) for _, line in lines]
        if lines and all(matches):
            pairs = [(int(match["number"]), _unquoted(match["name"])) for match in matches if match]
            return _in_order(pairs, f"{file} (DATA.CLASS_NAMES_FILE)")
    for where, line in lines:
        if re.search(r"\t|;|\S {2,}\S", line):
            raise DataError(
                f"{where}: {line!r} has several columns. A file of class names has one name a line, in label order, or "
                "a number and a name."
            )
    return [_unquoted(line) for _, line in lines]


def _json_names(text: str, said: str) -> list[str]:
    document = json.loads(text)
    if isinstance(document, list) and all(isinstance(name, str) for name in document):
        return document
    pairs = list(document.items()) if isinstance(document, dict) else []
    if pairs and all(_is_whole(value) for _, value in pairs):
        return _in_order([(int(value), name) for name, value in pairs], said)
    if pairs and all(_is_whole(key) and isinstance(value, str) for key, value in pairs):
        return _in_order([(int(key), value) for key, value in pairs], said)
    raise DataError(f"{said} is JSON, but neither an array of class names nor an object of names and numbers.")


def _in_order(pairs: Sequence[tuple[int, str]], said: str) -> list[str]:
    """Sort names by number."""
    ordered = sorted(pairs)
    first = ordered[0][0]
    for place, (number, name) in enumerate(ordered):
        if number != place + first or first > 1:
            raise DataError(
                f"{said} numbers {len(pairs)} classes, and not from 0 to {len(pairs) - 1} (or 1 to {len(pairs)}), each "
                f"once: {name!r} is number {number}, the {place + 1}. in order. Write one name a line, in label order."
            )
    return [name for _, name in ordered]


def _unquoted(name: str) -> str:
    if name.startswith('"'):
        (cells,) = csv.reader([name])
        if len(cells) == 1:
            return cells[0]
    return name


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
