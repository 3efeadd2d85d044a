"""Local copies of files, in a folder of bounded size that all processes of a machine share."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import portalocker

from ..errors import DataError

#: DATA.CACHE_GIB, where there is no configuration.
DEFAULT_GIB = 20.0

#: What is left of a full cache after clearing, so that it is not cleared for each file.
_KEPT = 0.9
#: Bytes of a file's name that its copy's name ends with.
_NAME_BYTES = 100
_UNFINISHED = ".part"
_TOTAL = "total"


class Copy:
    """A local copy that is not removed until it is closed.

    Attributes:
        path: of the copy.
    """

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self.path = path
        self._file = file

    def close(self) -> None:
        """Allow it to be removed."""
        self._file.close()  # and with it the lock


@dataclass(frozen=True)
class LocalCache:
    """Local copies of files; see the README.

    A copy is written under another name, and has its own only when it is whole. Processes that need the same file at
    the same time write it once. Before the bound would be passed, the copies are removed that were read the longest
    time ago, but for those that somebody reads.

    Args:
        folder: where; made when missing. Empty: ``pvbias-<number of the user>`` in the folder of temporary files
            ($TMPDIR, else /tmp).
        max_bytes: of all copies together.
    """

    folder: str = ""
    max_bytes: int = int(DEFAULT_GIB * 2**30)

    def copy(self, key: str, name: str, size: int | None, write: Callable[[str], None]) -> Copy:
        """The copy of a file, which is written where there is none.

        Args:
            key: what identifies the content.
            name: of the file, for people (and decoders that go by its suffix).
            size: bytes; None: not known before it is written.
            write: writes the content into the file of a path, which is there and empty.

        Raises:
            DataError: the folder cannot be used, or has no space. (And what ``write`` raises.)
        """
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        folder = self._folder() / digest[:2]
        tail = os.fsdecode(os.fsencode(os.path.basename(name))[-_NAME_BYTES:])
        path = str(folder / f"{digest[2:26]}-{tail}")
        with self._disk_errors():
            while True:
                found = self._find(path, size)
                if found is not None:
                    return found
                folder.mkdir(exist_ok=True)
                self._write(path, size or 0, write)

    def _find(self, path: str, size: int | None) -> Copy | None:
        try:
            file = open(path, "rb")  # noqa: SIM115 (closed with the copy)
        except FileNotFoundError:
            return None
        portalocker.lock(file, portalocker.LOCK_SH)
        status = os.fstat(file.fileno())
        if not _is_at(file, path):
            file.close()
            return None
        if size is not None and status.st_size != size:  # the machine has crashed before it was on the disk
            os.unlink(path)
            file.close()
            return None
        # The time of the last use; not that of the last change, which tells a file from its successor.
        os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return Copy(path, file)

    def _write(self, path: str, size: int, write: Callable[[str], None]) -> None:
        """Write a copy, unless another process is at it: then wait for that to end."""
        part = f"{path}.{size}{_UNFINISHED}"
        with open(part, "ab") as file:
            portalocker.lock(file, portalocker.LOCK_EX)
            if not _is_at(file, part):
                return
            try:
                if not os.path.exists(path):
                    self._make_room(size)
                    self._try_write(part, write)
                    os.replace(part, path)
                    if not size:
                        self._make_room(os.path.getsize(path))
            finally:
                Path(part).unlink(missing_ok=True)

    def _try_write(self, part: str, write: Callable[[str], None]) -> None:
        try:
            write(part)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.truncate(part, 0)
            with self._total() as total:  # others fill the disk, too: do with half of what there is
                left = self._clear(self._measured() // 2)
                _set(total, left)
            write(part)

    def _make_room(self, size: int) -> None:
        """Count ``size`` further bytes, and remove copies where they do not fit."""
        with self._total() as total:
            text = total.read()
            after = int(text) + size if text.isdigit() else None
            if after is None or after > self.max_bytes:
                # What is being written is counted, and so are these bytes.
                after = self._clear(int(self.max_bytes * _KEPT)) if size <= self.max_bytes else size
                if after > self.max_bytes:
                    raise DataError(
                        f"The local copies of files that are read at the same time take {after:,} bytes, more than "
                        f"DATA.CACHE_GIB = {self.max_bytes / 2**30:g} allows: raise it, or lower "
                        "DATA_LOADER.NUM_WORKERS."
                    )
            _set(total, after)

    def _clear(self, target: int) -> int:
        """Remove copies, those not read for the longest time first, until ``target`` bytes are left.

        Returns:
            The bytes that are left, with those of files that are being written.
        """
        files = self._files()
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= target and not path.endswith(_UNFINISHED):
                continue
            with suppress(FileNotFoundError), open(path, "rb") as file:
                try:
                    portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
                except portalocker.LockException:
                    continue  # somebody reads or writes it
                if _is_at(file, path):
                    os.unlink(path)
                left -= size
        return left

    def _measured(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, str]]:
        """Time of the last use, size (in the end, of what is not finished) and path of all copies."""
        found = []
        with os.scandir(self._folder()) as folders:
            inner = [entry.path for entry in folders if entry.is_dir()]
        for folder in inner:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        planned = int(entry.name.rsplit(".", 2)[1]) if entry.name.endswith(_UNFINISHED) else 0
                        found.append((status.st_atime_ns, planned or status.st_size, entry.path))
        return found

    @contextmanager
    def _total(self) -> Iterator[IO[str]]:
        """The file with the sum of all sizes, for one process at a time."""
        with open(self._folder() / _TOTAL, "a+") as file:
            portalocker.lock(file, portalocker.LOCK_EX)
            file.seek(0)
            yield file

    def _folder(self) -> Path:
        if self.folder:
            folder = Path(os.path.expanduser(self.folder))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"DATA.CACHE_DIR = {self.folder!r} cannot be made: {error.strerror}.") from error
            return folder
        folder = Path(tempfile.gettempdir()) / f"pvbias-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # anybody may make folders there
            raise DataError(f"{folder} is somebody else's: name a folder of your own (DATA.CACHE_DIR, or $TMPDIR).")
        return folder

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"Local copies of files cannot be kept in {self._folder()}: {error.strerror or error}. DATA.CACHE_DIR "
                "names another folder, DATA.CACHE_GIB bounds its size."
            ) from error
        except portalocker.LockException as error:
            raise DataError(
                f"Files in {self._folder()} cannot be locked: {error}. DATA.CACHE_DIR has to name a folder of this "
                "machine."
            ) from error


_current = LocalCache()


def current_cache() -> LocalCache:
    """The cache of this process, which sources of videos take to their workers."""
    return _current


def use_cache(cache: LocalCache) -> None:
    """Make a cache that of this process."""
    global _current
    _current = cache


def _is_at(file: IO[bytes], path: str) -> bool:
    """Whether an opened file is still the one of a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _set(total: IO[str], number: int) -> None:
    total.truncate(0)
    total.write(str(number))
    total.flush()
