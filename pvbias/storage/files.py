"""Local copies of what addresses name: objects, files of web servers, members of tar shards."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import count

from .addresses import StoreError, file_system, read_bytes, status, statuses, store_errors
from .local_cache import Copy, LocalCache
from .shards import find_shard, is_member, place_of, split_member

#: Seconds before a further attempt.
_PAUSES = (0.5, 2.0)

#: Bytes of one request.
_PIECE = 16 << 20


def local_copy(address: str, cache: LocalCache) -> Copy:
    """A local copy of a file, whole and of one version.

    Raises:
        StoreError: it cannot be had, after three attempts where another one may help.
        DataError: it cannot be kept.
    """
    for attempt in count():
        try:
            return _local_copy(address, cache, fresh=attempt > 0)
        except StoreError as error:
            if error.final or attempt == len(_PAUSES):
                raise
            time.sleep(_PAUSES[attempt])
    raise AssertionError


def beginning(address: str, most: int, cache: LocalCache) -> tuple[int, bytes]:
    """Size of a file in bytes, and its first bytes, ``most`` of them at most.

    Raises:
        StoreError: it cannot be had.
    """
    whole, start, size = _place(address, cache)
    return size, read_bytes(whole, start, start + min(most, size)) if size else b""


def sizes(addresses: Sequence[str], cache: LocalCache) -> list[int | None]:
    """Sizes of files, bytes, in few requests; None for those that are not there.

    Raises:
        DataError: a store cannot be asked, or gives no access to any of them, or a tar file cannot be read.
    """
    objects = [address for address in addresses if not is_member(address)]
    found: dict[str, int | None] = {
        address: None if seen is None else seen.size for address, seen in zip(objects, statuses(objects), strict=True)
    }
    members = set(addresses) - found.keys()
    for address in sorted(members, key=lambda address: split_member(address)[::-1]):  # one index after another
        try:
            found[address] = place_of(address, cache)[2]
        except StoreError as error:
            if not error.missing:
                raise
            found[address] = None
    return [found[address] for address in addresses]


def _place(address: str, cache: LocalCache) -> tuple[str, int, int]:
    """The object that a file is (in), its first byte there, and its size."""
    return place_of(address, cache) if is_member(address) else (address, 0, status(address).size)


def _local_copy(address: str, cache: LocalCache, *, fresh: bool) -> Copy:
    name, whole = find_shard(address) if is_member(address) else (address, address)
    version = status(whole, fresh=fresh)
    whole, start, size = _place(address, cache)

    def write(path: str) -> None:
        if is_member(address):
            with open(path, "wb") as file:
                for first in range(start, start + size, _PIECE):
                    file.write(read_bytes(whole, first, min(first + _PIECE, start + size)))
        else:
            with store_errors(address):
                system, inner = file_system(address)
                system.get_file(inner, path)
        arrived = os.path.getsize(path)
        if arrived != size:
            raise StoreError(f"{address}: {arrived:,} of {size:,} bytes arrived")
        if status(whole, fresh=True) != version:
            raise StoreError(f"{address} has changed while it was read")

    return cache.copy(f"{address}\n{version.size} {version.version}", name, size, write)
