"""Diagnosis of files that cannot be opened as videos, from their first bytes and boxes, in plain words."""

from __future__ import annotations

import os
import struct

#: Bytes that are looked at.
_HEAD = 4096

#: Boxes that a file of the MP4 family begins with.
_MP4_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"emsg"})


def why_unreadable(path: str) -> str:
    """Explain why no container format reads a file; empty where that cannot be told."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return error.strerror or str(error)
    if not head:
        return "the file is empty (0 bytes)"
    if not head.strip(b"\0"):
        return f"the file begins with {len(head)} bytes that are all zero: a download that was not finished?"
    if _is_text(head):
        return f"this is a text file, which begins with {head[:40].decode(errors='replace')!r}"
    if head[4:8] in _MP4_BOXES:
        return _why_no_mp4(path)
    return ""


def _is_text(head: bytes) -> bool:
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return b"\0" not in head and printable == len(head)


def _why_no_mp4(path: str) -> str:
    boxes = _top_boxes(path)
    if b"moov" in boxes:
        return ""
    if b"moof" in boxes:
        return "this is a fragment of an MP4 without its initialisation segment (no moov box)"
    return (
        "the MP4 has no index (no moov box): the recording was not finished, or the file is cut off "
        f"({os.path.getsize(path):,} bytes)"
    )


def _top_boxes(path: str) -> set[bytes]:
    """Kinds of the outermost boxes of an MP4 file."""
    found, offset, size = set(), 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while offset + 8 <= size:
            file.seek(offset)
            header = file.read(16)
            length, kind = struct.unpack(">I4s", header[:8])
            found.add(kind)
            if length == 1 and len(header) == 16:  # the length has 64 bits
                (length,) = struct.unpack(">Q", header[8:])
            if length < 8:  # up to the end of the file, or damaged
                break
            offset += length
    return found
