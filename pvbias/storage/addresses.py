"""Addresses of files in object stores and on web servers (``s3://bucket/a.mp4``), read through fsspec."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import ConfigError, DataError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

#: What has to be installed for a scheme: the name of an extra.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hf": "hf", "http": "http", "https": "http"}

#: What tells a file from the one that was there before, by the names that file systems have for it: the first known.
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "blob_id", "sha", "generation", "LastModified", "last_modified", "Last-Modified"),
    *("modificationTime", "modify", "CRC", "mtime", "created"),
)
#: The version of files of which a store knows none: what an earlier run has kept may be another content.
_THIS_RUN = f"run {secrets.token_hex(8)}"

#: Requests at once, when many files are looked up.
_REQUESTS = 32
#: Files of one folder from which on the folder is listed, rather than each of them looked up.
_LISTED = 16
#: Files whose status a process remembers.
_REMEMBERED = 1 << 17


class StoreError(DataError):
    """A file of a store that cannot be had.

    Attributes:
        missing: it is not there.
        final: it is not there, or another attempt would not help either: access is denied, say.
    """

    def __init__(self, message: str, *, missing: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.missing = missing
        self.final = final or missing

    def __reduce__(self):  # noqa: ANN204 (between processes)
        return _store_error, (str(self), self.missing, self.final)


def _store_error(message: str, missing: bool, final: bool) -> StoreError:
    return StoreError(message, missing=missing, final=final)


@dataclass(frozen=True)
class Status:
    """A file as its store describes it.

    Attributes:
        size: bytes.
        version: ETag, time of the last change or the like: another one for another content.
    """

    size: int
    version: str


def is_address(path: object) -> bool:
    """Whether a path is an address, ``scheme://...``, rather than that of a file on a disk."""
    text = str(path)
    return "://" in text and _SCHEME.match(text) is not None


def expand(path: str | os.PathLike | Address) -> Path | Address:
    """Expand ``~`` and ``~user`` at the beginning as the shell does; a name of no user's is left as it is, and so is an
    address."""
    if is_address(path):
        return Address(str(path))
    return Path(os.path.expanduser(path))  # type: ignore[arg-type]


def on_a_disk(path: str) -> str:
    """A path to write to, as it is.

    Raises:
        ConfigError: it is an address.
    """
    if is_address(path):
        raise ConfigError(f"{path}: files are written to a disk, not to an object store: name a place there.")
    return path


def absolute(path: str) -> str:
    """A path that means the same in any working directory; an address does."""
    return path if is_address(path) else str(Path(path).absolute())


class Address:
    """The address of a file or folder, with the part of :class:`pathlib.Path` that reading lists needs.

    Args:
        text: ``scheme://...``; slashes at its end do not count.
    """

    def __init__(self, text: str) -> None:
        match = _SCHEME.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no address")
        inner = text[match.end() :]
        self._scheme, self._path = match[0], posixpath.normpath(inner).rstrip("/") if inner else ""

    def __str__(self) -> str:
        return self._scheme + self._path

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __truediv__(self, other: object) -> Address | Path:
        """A path relative to this one; absolute ones and addresses stay what they are.

        On a web server ``#``, ``?`` and ``%`` are characters of the name, as on a disk.
        """
        if is_address(other):
            return Address(str(other))
        if str(other).startswith("/"):
            return Path(str(other))
        inner = quote(str(other), errors="surrogateescape") if self.is_on_web else str(other)
        return Address(f"{self}/{inner}")

    def __rtruediv__(self, other: object) -> Address:
        return self

    @property
    def is_on_web(self) -> bool:
        """Whether a web server has it, in whose addresses some characters of names have another form."""
        return self._scheme in ("http://", "https://")

    @property
    def name(self) -> str:
        """The last part."""
        return posixpath.basename(self._path)

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> Address:
        """The folder."""
        return Address(self._scheme + posixpath.dirname(self._path))

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Whether there is such a folder: something whose name begins with this."""
        return self._kind() == "directory"

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self._kind() != ""

    def read_bytes(self) -> bytes:
        """Read the file.

        Raises:
            StoreError: it cannot be had.
        """
        return read_bytes(str(self))

    def files_below(self) -> list[str]:
        """Paths, relative to this folder, of all files in it and in its folders; hidden ones are left out.

        Raises:
            StoreError: it cannot be listed.
        """
        with store_errors(str(self)):
            system, path = file_system(str(self))
            found = system.find(path)
        start = len(path.rstrip("/")) + 1
        inner = (name[start:] for name in found)
        return [name for name in inner if not any(part.startswith(".") for part in name.split("/"))]

    def _kind(self) -> str:
        try:
            return _info(str(self))["type"]
        except StoreError as error:
            if not error.missing:
                raise
            return ""


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and its path there. A file on a disk is in the local one."""
    import fsspec  # not where everything is on a disk

    scheme, separator, _ = address.partition("://")
    if not is_address(address):
        return fsspec.filesystem("file"), address
    # fsspec takes "::" in a name for the end of an address in another one.
    beginning = address if all(map(is_address, address.split("::"))) else scheme + separator
    system, path = fsspec.url_to_fs(beginning, use_listings_cache=False)
    return system, path if beginning == address else system._strip_protocol(address)


def read_bytes(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """Read a file, or its bytes from ``start`` to ``end``.

    Raises:
        StoreError: it cannot be had, or the server does not give parts of files.
    """
    with store_errors(address):
        system, path = file_system(address)
        content = system.cat_file(path, start=start, end=end)
    if end is not None and len(content) > end - (start or 0):
        raise no_parts(address)
    return content


def file_names(folder: str) -> list[str]:
    """Names of the files and folders in a folder, without hidden ones; none where it is not there.

    Raises:
        StoreError: it cannot be listed.
    """
    try:
        names = list(_entries(folder))
    except StoreError as error:
        if not error.missing:
            raise
        return []
    return [name for name in names if not name.startswith(".")]


def no_parts(address: str) -> StoreError:
    """The error of a server without range requests."""
    said = f"{address}: this server gives no parts of files (HTTP range requests): copy the file to a disk."
    return StoreError(said, final=True)


def status(address: str, *, fresh: bool = False) -> Status:
    """Size and version of a file; a process asks a store for those of a file once.

    Args:
        address: of the file, or its path on a disk.
        fresh: ask again.

    Raises:
        StoreError: it is not there, or the store cannot be asked.
    """
    known = None if fresh or not is_address(address) else _statuses.get(address)
    return known or _remember(address, _status(address, _info(address)))


def statuses(addresses: Sequence[str]) -> list[Status | None]:
    """Size and version of many files, in few requests; None for those that are not there.

    Raises:
        StoreError: the store cannot be asked, or gives no access to any of them.
    """
    found: dict[str, Status | None] = {each: _statuses[each] for each in addresses if each in _statuses}
    folders: dict[str, list[str]] = defaultdict(list)
    for address in dict.fromkeys(addresses):
        if address not in found:
            folders[address.rpartition("/")[0]].append(address)
    single, listed = [], []
    for folder, inside in folders.items():
        # The listing of a web server's folder is a page for people.
        if len(inside) < _LISTED or folder.startswith(("http://", "https://")):
            single += inside
        else:
            listed.append((folder, inside))
    refused: list[StoreError] = []
    with ThreadPoolExecutor(_REQUESTS) as pool:
        for part in pool.map(_listed_statuses, listed):
            found |= part
        for address, result in zip(single, pool.map(_status_or_error, single), strict=True):
            found[address] = result if isinstance(result, Status) else None
            refused += [result] if isinstance(result, StoreError) and not result.missing else []
    if refused and len(refused) == len(found):
        raise refused[0]
    return [found[address] for address in addresses]


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Make StoreError, of one line, of what goes wrong with a store inside; a disk that is full stays what it is."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        scheme = address.partition("://")[0]
        extra = f"pip install 'pvbias[{_EXTRAS[scheme]}]'" if scheme in _EXTRAS else str(error)
        raise StoreError(
            f"{address}: {scheme}:// needs a package that is not installed: {extra}", final=True
        ) from error
    except Exception as error:  # botocore's, aiohttp's, ... have no base class in common
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _translated(address, error) from error


def _translated(address: str, error: Exception) -> StoreError:
    if isinstance(error, FileNotFoundError):
        # fsspec says so of a web server that does not answer, too.
        cause = error.__cause__ if address.startswith(("http://", "https://")) else None
        if not isinstance(cause, Exception) or getattr(cause, "status", 0) in (404, 410):
            return StoreError(f"there is no file {address}", missing=True)
        error = cause
    if isinstance(error, UnicodeEncodeError):  # of a file on a disk, whose name need not be Unicode
        return StoreError(f"there is no file {address}: a store's names are Unicode", missing=True)
    if isinstance(error, ValueError) and "range requests" in str(error):
        return no_parts(address)
    said = " ".join(str(error).split())[:200]
    denied = isinstance(error, PermissionError) or getattr(error, "status", 0) in (401, 403)
    denied = denied or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError")
    advice = (
        "Check the credentials, which fsspec takes from the environment and ~/.config/fsspec."
        if denied
        else "Check the address, and the endpoint and credentials in the environment or ~/.config/fsspec."
    )
    return StoreError(f"{address}: {type(error).__name__}: {said}. {advice}", final=denied)


def _info(address: str) -> dict[str, Any]:
    with store_errors(address):
        system, path = file_system(address)
        return system.info(path)


def _status(address: str, info: dict[str, Any]) -> Status:
    if info["type"] != "file":
        raise StoreError(f"{address} is a folder: folders of frame images are read from disks only.", final=True)
    if info.get("size") is None:
        raise StoreError(
            f"{address}: the server does not say how long the file is, so a part would pass for the whole.", final=True
        )
    version = next((str(info[name]) for name in _VERSIONS if info.get(name) not in (None, "")), _THIS_RUN)
    return Status(info["size"], f"{info['ino']} {version}" if "ino" in info else version)


def _status_or_error(address: str) -> Status | StoreError:
    try:
        return status(address)
    except StoreError as error:
        if not error.final:
            raise
        return error


def _entries(folder: str) -> dict[str, dict[str, Any]]:
    """What fsspec says of the files and folders in a folder, by name."""
    with store_errors(folder):
        system, path = file_system(folder)
        return {posixpath.basename(entry["name"].rstrip("/")): entry for entry in system.ls(path, detail=True)}


def _listed_statuses(part: tuple[str, Sequence[str]]) -> dict[str, Status | None]:
    """The status of files of one folder, by listing it."""
    folder, addresses = part
    try:
        entries = _entries(folder)
    except StoreError as error:
        if not error.missing:
            raise
        entries = {}
    found: dict[str, Status | None] = {}
    for address in addresses:
        entry = entries.get(posixpath.basename(address))
        there = entry is not None and entry["type"] == "file"
        found[address] = _remember(address, _status(address, entry)) if there and entry is not None else None
    return found


_statuses: OrderedDict[str, Status] = OrderedDict()


def _remember(address: str, found: Status) -> Status:
    _statuses[address] = found
    if len(_statuses) > _REMEMBERED:
        _statuses.popitem(last=False)
    return found
