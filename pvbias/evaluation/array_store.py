"""On-disk storage of arrays of many videos, such as features that evaluators keep until the end of a pass."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import DataError


@dataclass(frozen=True)
class StoredArray:
    """The place of an array in a store.

    Attributes:
        file: its name in the store's folder.
        offset: of its first byte.
        shape, dtype: of the array.
        digest: of its bytes.
    """

    file: str
    offset: int
    shape: tuple[int, ...]
    dtype: str
    digest: str


class ArrayStore:
    """Arrays in files of one folder: each process appends to a file of its own, and any of them reads all.

    Args:
        folder: shared by the processes; made with the first array.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def put(self, array: np.ndarray) -> StoredArray:
        """Append an array.

        Raises:
            DataError: it cannot be written.
        """
        content = np.ascontiguousarray(array).tobytes()
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = open(self._folder / f"{uuid.uuid4().hex}.arrays", "xb")  # noqa: SIM115 (see close)
            offset = self._file.tell()
            self._file.write(content)
        except OSError as error:
            raise DataError(
                f"What is measured of the videos cannot be kept in {self._folder}: {error}. Make room there, or give "
                "another OUTPUT_DIR."
            ) from error
        name = Path(self._file.name).name
        return StoredArray(name, offset, tuple(array.shape), str(array.dtype), _digest(content))

    def get(self, stored: StoredArray) -> np.ndarray:
        """Read an array. (A memory map would be shorter, and would count as the process's memory page by page.)

        Raises:
            DataError: the file is not there, or is damaged.
        """
        self.flush()
        path = self._folder / stored.file
        dtype = np.dtype(stored.dtype)
        size = int(np.prod(stored.shape)) * dtype.itemsize
        try:
            with open(path, "rb") as file:
                file.seek(stored.offset)
                content = file.read(size)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}. Remove {self._folder}, and measure again.") from error
        if len(content) != size or _digest(content) != stored.digest:
            raise DataError(f"{path} is damaged. Remove {self._folder}, and measure again.")
        return np.frombuffer(content, dtype).reshape(stored.shape)

    def flush(self, *, sync: bool = False) -> None:
        """Write all that was appended to the operating system, or (``sync``) to the disk."""
        if self._file is not None:
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file that arrays are appended to."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
