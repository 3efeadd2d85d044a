"""Annotations with a heading that names their columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence

from ...errors import DataError
from ..attributes import NO_ATTRIBUTES, AttributePool, Attributes, typed_column
from .columns import check_one_split, find_columns, is_heading
from .entries import Entry, Where, check_part, is_number, parse_label, parse_seconds
from .files import is_video
from .lines import line_entries, read_rows

Line = tuple[Where, str]


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
    table = [_cells(text, delimiter) for _, text in lines[1:]]
    uneven = next((number for number, cells in enumerate(table, 1) if len(cells) != len(names)), None)
    if uneven is not None:
        if names in ([columns.path, columns.label], [columns.path]):
            yield from line_entries(read_rows(lines[1:]))
            return
        raise DataError(
            f"{lines[uneven][0]}: {len(table[uneven - 1])} columns, and the heading names {len(names)}: "
            f"{', '.join(names)}."
        )
    cells_of = dict(zip(names, zip(*table, strict=True), strict=True)) if table else {name: () for name in names}
    attributes = _attributes(cells_of, columns.attributes, len(table))
    nothing = ("",) * len(table)
    of_meaning = (columns.path, columns.label, columns.start, columns.end)
    meant = [cells_of[name] if name else nothing for name in of_meaning]
    labels: dict[str, int | str | None] = {"": None}
    for (where, _), name, said, begins, stops, described in zip(lines[1:], *meant, attributes, strict=True):
        if not name:
            raise DataError(f"{where}: there is no path in the column {columns.path!r}.")
        start = _seconds(begins, columns.start, where) if begins else None
        end = _seconds(stops, columns.end, where) if stops else None
        check_part(start, end, where)
        if said not in labels:
            labels[said] = parse_label(said, where)
        label, video = labels[said], is_video(name)
        clip = columns.identifier and end is not None and not video
        yield Entry(where, name, label, start, end, described, clip, clip or video or label is not None)
    if columns.split:
        check_one_split(cells_of[columns.split], lines[0][0].file, columns.split)


def _attributes(cells_of: Mapping[str, Sequence[str]], names: tuple[str, ...], rows: int) -> list[Attributes]:
    """The attributes of each row; the type of their values is that of the whole column."""
    if not names:
        return [NO_ATTRIBUTES] * rows
    pool = AttributePool()
    columns = [typed_column(cells_of[name]) for name in names]
    return [pool.make(names, values) for values in zip(*columns, strict=True)]


def _seconds(cell: str, key: str, where: Where) -> float | None:
    return parse_seconds(float(cell) if is_number(cell) else cell, key, where)


def _delimiter(text: str) -> str:
    return next((character for character in ",;\t" if character in text), " ")


def _cells(text: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return text.split()
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError):
        return [text]
    return [cell.strip() for cell in cells]
