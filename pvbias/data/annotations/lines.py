"""Annotations without a heading: ``path label`` lines, and diagnosis of lines that only look like them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...errors import DataError
from .entries import NUMBER, Entries, Entry, Lines, is_number, parse_label
from .files import VIDEO_SUFFIXES, are_videos, is_video

_SUFFIXES = "|".join(re.escape(suffix) for suffix in sorted(VIDEO_SUFFIXES))
VIDEO_LINE = re.compile(rf'(?P<path>.*(?:{_SUFFIXES}))"?(?P<rest>(?:[\s,;].*)?)', re.I)
#: The most frequent lines, which all others forms below read likewise: no quotes, one separator, a word for a label.
_SIMPLE = re.compile(rf'(?P<path>[^\s,;"]+(?:{_SUFFIXES}))(?:[\s,;](?P<label>[\w-]+))?', re.I)
_WORD = re.compile(r"[\w-]+")
#: The bytes of ASCII that :data:`_SIMPLE` has neither between the columns nor in quotes nor at the end of a line.
_NO_MARKS = bytes(code for code in range(128) if not chr(code).isspace() and chr(code) not in ',;"')
_NUMBERS = re.compile(rf'(?P<path>.*?[^\s,;])(?P<rest>(?:[\s,;]+(?:{NUMBER}|"{NUMBER}"))+)')
_NAME = re.compile(r"(?P<path>.*?)[\s,]+(?P<label>[^\s,]+)")
_SEPARATOR = re.compile(r"\s*[,;]?\s*")

#: What DATA.LIST_FORMAT "tsn" stands for.
TSN = "`path frames label`, three columns (TSN, TSM, mmaction2)"


class Row(NamedTuple):
    """A line split into path and columns.

    Attributes:
        where, text: file and line, and what stands there.
        path: the path.
        columns: what follows it.
        certain: the path is a video's (by its suffix), or what follows is a number.
    """

    where: object
    text: str
    path: str
    columns: tuple[str, ...]
    certain: bool


def read_rows(lines: Sequence[tuple[object, str]]) -> list[Row]:
    """Split lines into the path, up to a video's suffix or, without one, to the numbers at the end, and the columns
    behind it. White space, commas, semicolons and tabs separate; a class name may have spaces, and commas in quotes."""
    return [_row(where, text) for where, text in lines]


def simple_entries(file: object, text: str) -> Entries | None:
    """The entries of ``path label`` or ``path`` lines that are all of the most frequent form (:data:`_SIMPLE`), with
    the same separator: as :func:`line_entries` makes them one by one, and for a million in a second. None: not all are.

    Raises:
        DataError: a label that no class can have.
    """
    text = text.rstrip("\n")
    if not text.isascii() or text.startswith("#") or "\n#" in text:
        return None
    content = text.encode() + b"\n"
    marks = content.translate(None, _NO_MARKS)
    separator = "" if marks[:1] == b"\n" else marks[:1].decode()
    if separator == '"' or marks.replace(f"{separator}\n".encode(), b""):
        return None
    cells = (text.replace(separator, "\n") if separator else text).split("\n")
    names = cells[::2] if separator else cells
    said = cells[1::2] if separator else []
    different = dict.fromkeys(said)
    if not are_videos(names) or not all(map(_WORD.fullmatch, different)):
        return None
    where = Lines(file, len(names))
    first = dict(zip(reversed(said), range(len(said) - 1, -1, -1), strict=True))
    labels = {word: parse_label(word, where[first[word]]) for word in different}
    return Entries.of_videos(where, names, [*map(labels.__getitem__, said)] if separator else [None] * len(names))


def line_entries(rows: Sequence[Row]) -> Iterator[Entry]:
    """Entries of ``path label`` or ``path`` lines.

    Raises:
        DataError: there are more columns; the message names the form that they look like.
    """
    wide = next((row for row in rows if len(row.columns) > 1), None)
    if wide is not None:
        raise DataError(_describe_wide(wide, rows))
    labels: dict[str, int | str | None] = {}
    for where, _, path, columns, certain in rows:
        label = None
        if columns:
            (said,) = columns
            if said not in labels:
                labels[said] = parse_label(said, where)
            label = labels[said]
        yield Entry(where, path, label, certain=certain)


def tsn_entries(rows: Sequence[Row]) -> Iterator[Entry]:
    """Entries of ``path frames label`` lines; the number of frames is not used.

    Raises:
        DataError: a line is none.
    """
    for row in rows:
        if len(row.columns) != 2 or not all(map(is_number, row.columns)):
            raise DataError(f"{row.where}: {row.text[:80]!r} is not {TSN}, which DATA.LIST_FORMAT = 'tsn' asks for.")
        yield Entry(where=row.where, name=row.path, label=parse_label(row.columns[1], row.where))


def write_line(path: str, label: int | str | None) -> str:
    """A line that :func:`.read_annotation` reads as this path and label."""
    plain = path if label is None else f"{path} {label}"
    (row,) = read_rows([("", plain)])
    if (row.path, row.columns) == (path, () if label is None else (str(label),)):
        return plain
    return write_row(path, *([] if label is None else [label]))


def write_row(*cells: str | float | None) -> str:
    """A line of a table with commas, as :mod:`csv` reads it: everything in quotes but None, which is nothing."""
    return ",".join("" if cell is None else '"' + str(cell).replace('"', '""') + '"' for cell in cells)


def _row(where: object, text: str) -> Row:
    simple = _SIMPLE.fullmatch(text)
    if simple:
        path, label = simple.groups()
        return Row(where, text, path, () if label is None else (label,), True)
    match = VIDEO_LINE.fullmatch(text) or _NUMBERS.fullmatch(text)
    columns: tuple[str, ...]
    if re.fullmatch(r'"[^"]*"', text):
        path, columns, certain = text, (), is_video(text.strip('"'))
    elif match:
        path, columns, certain = match["path"], _columns(match["rest"], where), True
    elif text.count(";") == 1:  # Jester, Something-Something: identifier;class name
        path, label = text.split(";")
        columns, certain = (label.strip(),) if label.strip() else (), path.strip().isdecimal()
    elif ";" in text or "\t" in text:
        path, *rest = re.split(r"[;\t]+", text)
        columns, certain = tuple(cell.strip() for cell in rest), False
    else:
        match = _NAME.fullmatch(text)
        path, columns, certain = (match["path"], (match["label"].strip('"'),), False) if match else (text, (), False)
    path = path.strip().strip('"').replace('""', '"')
    if not path:
        raise DataError(f"{where}: {text!r} has no path. A line is `path label`.")
    return Row(where, text, path, columns, certain)


def _columns(rest: str, where: object) -> tuple[str, ...]:
    """Columns that follow a path."""
    body = _SEPARATOR.sub("", rest, count=1).rstrip(" ,;\t")
    if not body:
        return ()
    separator = next((character for character in ",;\t" if character in rest[: rest.index(body)]), "")
    if separator:
        try:
            (cells,) = csv.reader([body], delimiter=separator, skipinitialspace=True)
        except (csv.Error, ValueError) as error:
            raise DataError(f"{where}: {body!r} cannot be divided into columns: {error}") from error
        quoted = '"' in body
    elif len(body) > 1 and body[0] == body[-1] == '"':
        cells, quoted = [body[1:-1].replace('""', '"')], True
    else:
        cells, quoted = [body], False
    columns: list[str] = []
    for cell in cells:
        words = cell.split()
        # Words with a number before or behind them are columns: a class name with spaces is words alone.
        numbered = len(words) > 1 and not quoted and (is_number(words[0]) or is_number(words[-1]))
        columns += [word.strip(",") for word in words] if numbered else [cell.strip()]
    return tuple(columns)


def _describe_wide(row: Row, rows: Sequence[Row]) -> str:
    """Explain what a line with more columns than a path and a label looks like, and what to do."""
    numbers = all(is_number(column) for other in rows for column in other.columns)
    widths = {len(other.columns) for other in rows}
    said = f"{row.where}: {row.text[:80]!r} has {len(row.columns)} columns after the path"
    if numbers and widths == {2}:
        return (
            f"{said}: this looks like {TSN}. Say --list-format tsn (DATA.LIST_FORMAT tsn) to have the last column read "
            "as the label. If these are two labels of one video: multi-label lists are not supported. If the path ends "
            "in a number: put it in quotes."
        )
    if numbers:
        return (
            f"{said}, all of them numbers: this looks like a list with several labels a line (multi-label), which is "
            "not supported. Give each video one label."
        )
    return (
        f"{said}. Name the columns in a heading (`path,label,...`) to have those two read, leave the others out, or "
        "put a class name that has commas or numbers in quotes."
    )
