"""Rows of many videos: in memory up to a size, and beyond that in a file without a name, which ends with the process.

An evaluator keeps a row of each video (:class:`Rows`); what it makes of them and is large, such as the class
probabilities of all videos, is an array that grows in the same way (:class:`RowArray`). Neither takes more memory for
ten million videos than for ten thousand, but for 8 bytes a video.
"""

from __future__ import annotations

import contextlib
import mmap
import operator
import os
import pickle
from array import array
from collections.abc import Iterator, MutableMapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, SupportsIndex

import numpy as np

from ..errors import DataError

#: Bytes of one evaluator's rows, or of one array, that are held in memory.
IN_MEMORY = 16 << 20

#: Bytes of an array that are looked at together.
_BLOCK = 8 << 20

#: In place of a row's place in the file: there is no row, or it is an object in memory.
_ABSENT, _IN_MEMORY = -1, -2


class _Spool:
    """A file of what is appended, in memory up to :data:`IN_MEMORY` bytes.

    Args:
        folder: of the file that more goes to; None: the system's for temporary files.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else str(folder)
        self._file: IO[bytes] = BytesIO()
        self._size = 0

    def append(self, *parts: bytes) -> int:
        """Append content; return its place.

        Raises:
            DataError: it cannot be written.
        """
        place = self._size
        try:
            if isinstance(self._file, BytesIO) and self._size + sum(map(len, parts)) > IN_MEMORY:
                self._move_to_disk(self._file)
            self._file.seek(place)
            for part in parts:
                self._size += self._file.write(part)
            self._file.flush()  # what does not fit onto the disk is an error here, and not where it is read
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.close()  # what is not written yet would be tried again at the end of the process
            raise DataError(
                f"What is measured of the videos cannot be kept in {self._folder or gettempdir()}: {error}. Make room "
                "there, or give another OUTPUT_DIR."
            ) from error
        return place

    def _move_to_disk(self, held: BytesIO) -> None:
        if self._folder is not None:
            Path(self._folder).mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed with its owner)
        self._file.write(held.getbuffer())

    def read(self, place: int, size: int) -> bytes:
        """Read ``size`` bytes at a place."""
        self._file.seek(place)
        return self._file.read(size)

    def content(self) -> Any:
        """All of it, as a buffer: a read-only map of the file, or a copy of what is in memory."""
        if isinstance(self._file, BytesIO):
            return bytearray(self._file.getbuffer())
        return mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ)


class Rows(MutableMapping[int, Any]):
    """Rows by video index, in ascending order.

    The row that was set last may still be filled in (``row = rows[3] = {}``); it is written away when another one is
    set, and from then on made anew each time that it is asked for. What cannot be pickled stays in memory.

    Args:
        folder: where a file goes that is needed for many rows; made when missing.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._spool = _Spool(folder)
        self._places = array("q")  # by video index
        self._held: dict[int, Any] = {}
        self._last: int | None = None
        self._count = 0

    def __setitem__(self, index: int, row: Any) -> None:
        index = operator.index(index)
        if index < 0:
            raise ValueError(f"A row is kept under the index of its video, 0 or more, and not under {index}.")
        if self._last not in (None, index):
            self._write_last()
        missing = index + 1 - len(self._places)
        if missing > 0:
            self._places.extend(array("q", [_ABSENT]) * missing)
        self._count += self._places[index] == _ABSENT
        self._places[index] = _IN_MEMORY
        self._held[index] = row
        self._last = index

    def _write_last(self) -> None:
        """Write the row that was set last into the file, if it can be."""
        index, self._last = self._last, None
        assert index is not None
        try:
            content = pickle.dumps(self._held[index], protocol=5)
        # pickle's words for most things it cannot take
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
            return
        self._places[index] = self._spool.append(len(content).to_bytes(8, "little"), content)
        del self._held[index]

    def __getitem__(self, index: int) -> Any:
        place = self._place(index)
        if place == _ABSENT:
            raise KeyError(index)
        if place == _IN_MEMORY:
            return self._held[index]
        return pickle.loads(self._spool.read(place + 8, int.from_bytes(self._spool.read(place, 8), "little")))

    def __delitem__(self, index: int) -> None:
        if index not in self:
            raise KeyError(index)
        self._held.pop(index, None)
        self._last = None if self._last == index else self._last
        self._places[index] = _ABSENT
        self._count -= 1

    def __contains__(self, index: object) -> bool:
        return self._place(index) != _ABSENT

    def _place(self, index: Any) -> int:
        known = isinstance(index, SupportsIndex) and 0 <= operator.index(index) < len(self._places)
        return self._places[index] if known else _ABSENT

    def __iter__(self) -> Iterator[int]:
        return (index for index, place in enumerate(self._places) if place != _ABSENT)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Rows of {self._count} videos>"


class RowArray:
    """An array that grows row by row.

    Args:
        folder: as for :class:`Rows`.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._spool = _Spool(folder)
        self._row: np.ndarray | None = None

    def append(self, *rows: np.ndarray) -> None:
        """Append rows, all of one shape and dtype."""
        for row in rows:
            self._row = row
            self._spool.append(np.ascontiguousarray(row).tobytes())

    def array(self) -> np.ndarray:
        """The rows as one array ``(n, ...)``, n >= 1, to be read with :func:`row_blocks` where n may be large: beyond a
        size a read-only map of a file."""
        assert self._row is not None
        return np.frombuffer(self._spool.content(), self._row.dtype).reshape(-1, *self._row.shape)


def row_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Consecutive rows of an array, some megabytes at a time. Of one that is a map of a file no more than that stays
    in memory."""
    return (block for (block,) in joint_row_blocks([values]))


def joint_row_blocks(arrays: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """The same rows of several arrays of equal length, whatever their dtypes are, as :func:`row_blocks`."""
    rows = max(_BLOCK // max(1, *(values[:1].nbytes for values in arrays)), 1)
    maps = [mapped for mapped in map(_map_of, arrays) if mapped is not None]
    for start in range(0, len(arrays[0]), rows):
        yield tuple(values[start : start + rows] for values in arrays)
        for mapped in maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


def mapped_array(file: str | os.PathLike, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A read-only map of an array in a file; its first byte is at ``offset``."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    with open(file, "rb") as opened:
        content = mmap.mmap(opened.fileno(), offset - start + size, access=mmap.ACCESS_READ, offset=start)
    return np.frombuffer(content, np.uint8, offset=offset - start).view(dtype).reshape(shape)


def _map_of(values: np.ndarray) -> mmap.mmap | None:
    base: Any = values
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None
