"""Decoding of text files, whatever program wrote them."""

from __future__ import annotations

import codecs
from pathlib import Path

from ...errors import DataError
from ...storage import Address
from .entries import Where

#: Marks at the beginning of a file, the longer ones first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(file: Path | Address) -> str:
    """Read a text file: UTF-8, or UTF-16 or UTF-32 with their mark, which is left out.

    File names need not be UTF-8: bytes that are not come back as they were when the name is used.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}") from error
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} begins as {encoding.upper()} and is none ({error}). Save it as UTF-8.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{file}:{line}: there is a NUL byte, so this is no text file but a video, an archive or the like, or "
            "UTF-16 without its mark. Save the list as UTF-8."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(file: Path | Address, text: str) -> list[tuple[Where, str]]:
    """Lines as (file and line, text without white space around it), without empty ones and those that begin with
    ``#``."""
    lines = enumerate(map(str.strip, text.split("\n")), 1)
    return [(Where(file, number), line) for number, line in lines if line and line[0] != "#"]
