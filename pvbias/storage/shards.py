"""Tar shards as one folder: where each member lies, so that any of them is read without the others.

A member's address is fsspec's: ``tar://left/0.mp4::s3://bucket/0001.tar``.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

from ..errors import DataError
from .addresses import Address, StoreError, file_system, is_address, no_parts, status, store_errors
from .local_cache import LocalCache

_MEMBER = "tar://"
_RANGE = re.compile(r"\{(?P<first>[0-9]+)\.\.(?P<last>[0-9]+)\}")

#: Suffixes of what WebDataset puts beside a video.
LABEL, DESCRIPTION = ".cls", ".json"
#: Bytes of them that are believed: more is no label.
_MOST_TEXT = 1 << 20
#: Bytes fetched for each look at a shard: headers lie between the members.
_BLOCK = 1 << 16
#: Bytes of zeros that a shard may end with: GNU tar's largest usual record.
_MOST_PADDING = 1 << 20
#: Shards that are indexed at once.
_AT_ONCE = 16


@dataclass(frozen=True)
class TarIndex:
    """The members of a tar file.

    Attributes:
        places: first byte and size in bytes of each file, by name.
        texts: contents of the small files that say something of others (``.cls``, ``.json``), by name.
    """

    places: Mapping[str, Sequence[int]]
    texts: Mapping[str, str]


class Shards:
    """Tar files taken together, as the folder that they unpack to.

    Args:
        pattern: path or address of a tar file, or of several: ``train-{0000..0099}.tar``, ``{a,b}.tar``.
        cache: keeps what was found in them.

    Raises:
        DataError: one of them cannot be read, is cut off or damaged, or two hold a file of the same name.
    """

    def __init__(self, pattern: str | os.PathLike | Address, cache: LocalCache) -> None:
        self.pattern = str(pattern) if is_address(pattern) else os.path.abspath(str(pattern))
        self.texts: dict[str, str] = {}
        self._shards: dict[str, str] = {}
        paths = expand_braces(self.pattern)
        if "::" in self.pattern:
            raise DataError(f"{self.pattern}: '::' in the path of tar files divides addresses. Give them another name.")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for shard, index in zip(paths, pool.map(lambda path: tar_index(path, cache), paths), strict=True):
                for name in index.places:
                    other = self._shards.setdefault(name, shard)
                    if other is not shard:
                        raise DataError(
                            f"{shard} and {other} both hold {name!r}. Names tell videos apart: give each its own."
                        )
                self.texts |= index.texts

    def __str__(self) -> str:
        return self.pattern

    def __contains__(self, name: str) -> bool:
        return posixpath.normpath(name) in self._shards

    def __iter__(self) -> Iterator[str]:
        """Names of the files, without hidden ones and those in hidden folders."""
        return (name for name in self._shards if not name.startswith(".") and "/." not in name)

    def path(self, name: str) -> str:
        """The address of a member, whether or not it is there."""
        name = posixpath.normpath(name)
        return f"{_MEMBER}{name}::{self._shards.get(name, self.pattern)}"


def is_shards(path: object) -> bool:
    """Whether a path or address is that of tar files, and no folder on a disk."""
    return str(path).endswith(".tar") and not is_member(str(path)) and not os.path.isdir(str(path))


def is_member(address: str) -> bool:
    """Whether an address is that of a file in a tar file."""
    return address.startswith(_MEMBER) and "::" in address


def path_in_store(address: str) -> str:
    """The path of a file without its store: ``bucket/a.mp4``, or the name of a member without its shard."""
    return split_member(address)[0] if is_member(address) else address.partition("://")[2]


def split_member(address: str) -> tuple[str, str]:
    """A member's name and its shard."""
    name, _, shard = address.removeprefix(_MEMBER).rpartition("::")
    return name, shard


def find_shard(address: str) -> tuple[str, str]:
    """:func:`split_member`, of a member that is in one shard.

    Raises:
        StoreError: it is in none of several shards, so that its address has their pattern.
    """
    name, shard = split_member(address)
    if "{" in shard:
        raise _no_member(name, shard)
    return name, shard


def _no_member(name: str, shard: str) -> StoreError:
    return StoreError(f"there is no file {name} in {shard}", missing=True)


def expand_braces(pattern: str) -> list[str]:
    """The paths that a pattern means, as bash has it: ``{0000..0099}``, ``{a,b}``.

    Raises:
        DataError: a brace is of another form.
    """
    parts = re.split(r"(\{[^{}]*\})", pattern)
    choices: list[list[str]] = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match:
            width = len(match["first"]) if match["first"].startswith("0") else 0
            numbers = range(int(match["first"]), int(match["last"]) + 1)
            choices.append([str(number).zfill(width) for number in numbers])
        elif part.startswith("{") and "," in part:
            choices.append(part[1:-1].split(","))
        elif part.startswith("{"):
            raise DataError(f"{pattern}: {part} is neither a range, {{0000..0099}}, nor a choice, {{a,b}}.")
        else:
            choices.append([part])
    if not all(choices):
        raise DataError(f"{pattern}: a range is empty.")
    return ["".join(chosen) for chosen in product(*choices)]


def tar_index(shard: str, cache: LocalCache) -> TarIndex:
    """The index of a tar file; made once for each version of it, and kept in the cache.

    Raises:
        DataError: it cannot be read, is compressed, cut off or damaged.
    """
    found = status(shard)
    return _read_index(shard, f"{found.size} {found.version}", cache)


def place_of(address: str, cache: LocalCache) -> tuple[str, int, int]:
    """The shard of a member, its first byte there, and its size.

    Raises:
        StoreError: there is none.
        DataError: the shard cannot be read.
    """
    name, shard = find_shard(address)
    index = tar_index(shard, cache)
    if name not in index.places:
        raise _no_member(name, shard)
    return shard, *index.places[name]  # type: ignore[return-value]


@lru_cache(maxsize=64)
def _read_index(shard: str, version: str, cache: LocalCache) -> TarIndex:
    def write(path: str) -> None:
        Path(path).write_text(json.dumps(asdict(_scan(shard))), encoding="ascii")

    copy = cache.copy(f"index 2\n{shard}\n{version}", f"{posixpath.basename(shard)}.json", None, write)
    try:
        return TarIndex(**json.loads(Path(copy.path).read_bytes()))
    finally:
        copy.close()


def _scan(shard: str) -> TarIndex:
    """Read all headers of a tar file."""
    places: dict[str, tuple[int, int]] = {}
    texts: dict[str, str] = {}
    links: dict[str, str] = {}
    with store_errors(shard):
        system, path = file_system(shard)
        try:
            with system.open(path, "rb", block_size=_BLOCK) as file:
                if not file.seekable():
                    raise no_parts(shard)
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    for member in tar:
                        _add(tar, member, shard, places, texts, links)
                    _check_end(file, tar.offset, file.seek(0, os.SEEK_END), shard)
        except tarfile.TarError as error:
            raise DataError(
                f"{shard} is no tar file that can be read ({error}): it is cut off, or not a plain one, not compressed."
            ) from error
    for name in links:
        _add_link(name, _followed(name, links), shard, places, texts)
    return TarIndex(places, texts)


def _add(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    shard: str,
    places: dict[str, tuple[int, int]],
    texts: dict[str, str],
    links: dict[str, str],
) -> None:
    """Add a member to the places and texts, or to the symbolic links, which may be of a later one."""
    name = _unpacked(member.name)
    if posixpath.basename(name).startswith("."):
        return
    for known in (places, texts, links) if not member.isdir() else ():  # a file of the same name before it
        known.pop(name, None)
    if member.issym():
        links[name] = _unpacked(posixpath.join(posixpath.dirname(name), member.linkname))
    elif member.islnk() and _unpacked(member.linkname) in links:
        links[name] = _unpacked(member.linkname)
    elif member.islnk():
        _add_link(name, _unpacked(member.linkname), shard, places, texts)
    if not member.isreg():
        return
    if member.issparse():
        raise DataError(f"{shard}: {name} has holes (GNU tar's --sparse), and can only be unpacked. Pack it without.")
    places[name] = (member.offset_data, member.size)
    if posixpath.splitext(name)[1] in (LABEL, DESCRIPTION):
        content = tar.extractfile(member)
        assert content is not None  # of a regular file
        if member.size > _MOST_TEXT:
            raise DataError(f"{shard}: {name} has {member.size:,} bytes, which is no description of a video.")
        texts[name] = content.read().decode("utf-8-sig", "surrogateescape")


def _unpacked(name: str) -> str:
    """The path of a member below the folder that it is unpacked to, as tar has it: none leads out of that."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _followed(name: str, links: Mapping[str, str]) -> str:
    """The name at the end of a chain of symbolic links."""
    seen = {name}
    while name in links and links[name] not in seen:
        name = links[name]
        seen.add(name)
    return name


def _add_link(name: str, target: str, shard: str, places: dict[str, tuple[int, int]], texts: dict[str, str]) -> None:
    if target not in places:
        raise DataError(
            f"{shard}: {name} is a link to {target}, and no such file is in it. Pack what links lead to in their place "
            "(tar --dereference --hard-dereference)."
        )
    places[name] = places[target]
    if target in texts:
        texts[name] = texts[target]


def _check_end(file: object, offset: int, size: int, shard: str) -> None:
    """Raise DataError unless a tar file ends where its last member does: Python's reader takes a damaged header, or no
    more bytes, for the end."""
    rest = b""
    if size - offset <= _MOST_PADDING:
        file.seek(offset)  # type: ignore[attr-defined]
        rest = file.read()  # type: ignore[attr-defined]
    if size < offset or len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise DataError(
            f"{shard} is cut off or damaged: after byte {offset:,} of {size:,} there is neither a further file nor the "
            "end of the archive. Copy or pack it again."
        )
