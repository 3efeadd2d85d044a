"""Annotations with a heading that names their columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from ...errors import DataError
from ..attributes import NO_ATTRIBUTES, AttributePool, Attributes, typed_column
from .columns import Columns, check_one_split, find_columns, is_heading
from .entries import Entry, check_part, is_number, parse_label, parse_seconds
from .files import is_video
from .lines import line_entries, read_rows

Line = tuple[str, str]


def has_heading(lines: Sequence[Line]) -> bool:
    """Whether the first line names columns."""
    delimiter = _delimiter(lines[0][1])
    cells = _cells(lines[0][1], delimiter)
    return is_heading(cells, words=delimiter == " ") and not any(is_number(cell) or is_video(cell) for cell in cells)


def table_entries(lines: Sequence[Line]) -> Iterator[Entry]:
    """The entries of a list with a heading, which says which columns are the path (or the identifier), the label, and
    the part that is meant; others are attributes. Under ``path,label`` lines may be written as without a heading, too.

    Raises:
        DataError: the heading leaves open which column is meant, or a line has another number of columns.
    """
    where, heading = lines[0]
    delimiter = _delimiter(heading)
    names = _cells(heading, delimiter)
    columns = find_columns(names, where)
    assert columns is not None  # of a heading
    if names == [columns.path, columns.label] or names == [columns.path]:
        rows = [_cells(text, delimiter) for _, text in lines[1:]]
        if any(len(row) != len(names) for row in rows):
            yield from line_entries(read_rows(lines[1:]))
            return
    table = []
    for where, text in lines[1:]:
        cells = _cells(text, delimiter)
        if len(cells) != len(names):
            raise DataError(f"{where}: {len(cells)} columns, and the heading names {len(names)}: {', '.join(names)}.")
        table.append(dict(zip(names, cells, strict=True)))
    attributes = _attributes(table, columns.attributes)
    for (where, _), row, described in zip(lines[1:], table, attributes, strict=True):
        yield _entry(row, columns, described, where)
    if columns.split:
        check_one_split((row[columns.split] for row in table), lines[0][0].rpartition(":")[0], columns.split)


def _attributes(table: Sequence[dict[str, str]], names: Sequence[str]) -> list[Attributes]:
    """The attributes of each row; the type of their values is that of the whole column."""
    if not names:
        return [NO_ATTRIBUTES] * len(table)
    pool = AttributePool()
    columns = [typed_column([row[name] for row in table]) for name in names]
    return [pool.make(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _entry(row: dict[str, str], columns: Columns, attributes: Attributes, where: str) -> Entry:
    name = row[columns.path]
    if not name:
        raise DataError(f"{where}: there is no path in the column {columns.path!r}.")
    start, end = (
        parse_seconds(float(row[key]) if is_number(row[key]) else row[key] or None, key, where) if key else None
        for key in (columns.start, columns.end)
    )
    check_part(start, end, where)
    label = parse_label(row[columns.label] or None, where) if columns.label else None
    clip = columns.identifier and end is not None and not is_video(name)
    return Entry(
        where=where,
        name=name,
        label=label,
        start=start,
        end=end,
        attributes=attributes,
        clip=clip,
        certain=clip or is_video(name) or label is not None,
    )


def _delimiter(text: str) -> str:
    return next((character for character in ",;\t" if character in text), " ")


def _cells(text: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return text.split()
    try:
        (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError):
        return [text]
    return [cell.strip() for cell in cells]
