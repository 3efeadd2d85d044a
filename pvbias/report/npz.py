"""Files of large arrays in NumPy's format (``.npz``, not compressed): written and read piece by piece.

``numpy.savez`` and ``numpy.load`` read and write the same files, with all of an array in memory.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from ..evaluation.rows import mapped_array, row_blocks

_TEXTS_AT_ONCE = 1 << 14
#: Of a member's header in a ZIP file: its length, and where the lengths of its name and its extra field are.
_HEADER, _LENGTHS = 30, 26


@dataclass(frozen=True)
class Texts:
    """Texts that become an array."""

    texts: Sequence[str]

    @cached_property
    def dtype(self) -> np.dtype:
        """Of the array: as wide as the longest text."""
        return np.dtype(f"<U{max(map(len, self.texts), default=0) or 1}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return (len(self.texts),)

    def blocks(self) -> Iterator[np.ndarray]:
        """The array, piece by piece."""
        for start in range(0, len(self.texts), _TEXTS_AT_ONCE):
            yield np.array(self.texts[start : start + _TEXTS_AT_ONCE], self.dtype)


def write(file: IO[bytes], arrays: Mapping[str, np.ndarray | Texts]) -> None:
    """Write arrays into an open file, by name."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            blocks = values.blocks() if isinstance(values, Texts) else row_blocks(values)
            described = {"descr": npy.dtype_to_descr(values.dtype), "fortran_order": False, "shape": values.shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, described)
                for block in blocks:
                    member.write(np.ascontiguousarray(block).tobytes())


def mapped(file: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name, as read-only maps of it, once all of it was read and found undamaged.

    Raises:
        ValueError, OSError, EOFError, zipfile.BadZipFile: it cannot be read.
    """
    with open(file, "rb") as opened, zipfile.ZipFile(opened) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        return {each.filename.removesuffix(".npy"): _array(file, archive, each) for each in archive.infolist()}


def _array(file: str | Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as content:
        major, _ = npy.read_magic(content)
        header: Any = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, fortran_order, dtype = header(content)
        begin = content.tell()
        if member.compress_type != zipfile.ZIP_STORED or fortran_order or dtype.hasobject:
            content.seek(0)
            return npy.read_array(content, allow_pickle=False)
    with open(file, "rb") as opened:
        opened.seek(member.header_offset + _LENGTHS)
        lengths = np.frombuffer(opened.read(_HEADER - _LENGTHS), "<u2")
    return mapped_array(file, member.header_offset + _HEADER + int(lengths.sum()) + begin, shape, dtype)
