"""Sizes of the files and folders of a list of videos, each looked up once."""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import numpy as np

from ..storage import is_address
from ..storage.files import sizes
from ..storage.local_cache import current_cache
from .record_list import RecordList, RecordSubset, field_of
from .records import VideoRecord

#: In the place of a size: nothing is there; something is, and cannot be looked at.
MISSING, UNKNOWN = -1, -2

#: Files in a part of those that are looked up.
_LOOKED_UP_TOGETHER = 256

#: Threads that look files up, where each takes longer than this, seconds, and the parts that they do before that is
#: looked at again. A disk answers in 5 microseconds, which threads make 15, taking the interpreter from each other; a
#: file system over the network in 200.
_THREADS = 32
_SLOW = 50e-6
_PARTS_AT_ONCE = 256

_known: MutableMapping[RecordList, np.ndarray] = WeakKeyDictionary()


def extents(records: Sequence[VideoRecord]) -> np.ndarray:
    """Sizes, int64 ``(N,)``: bytes of a file, number of entries of a folder, else MISSING or UNKNOWN.

    Those of a list that has been read are looked up once, whoever asks for them and for which of its videos.
    """
    if isinstance(records, RecordSubset):
        return extents(records.whole)[records.numbers]
    if not isinstance(records, RecordList):
        return _look_up(field_of(records, "path"))
    if records not in _known:
        _known[records] = _look_up(field_of(records, "path"))
    return _known[records]


def _look_up(paths: Sequence[str]) -> np.ndarray:
    """Look at each different path once. What is at an address is looked up by its store."""
    different = dict.fromkeys(paths)
    stored = [path for path in different if "://" in path and is_address(path)]
    on_disk = [*different.keys() - stored] if stored else [*different]
    found = _sizes_on_disk(on_disk)
    if len(on_disk) == len(paths):
        return np.array(found, np.int64)
    by_path = dict(zip(on_disk, found, strict=True))
    if stored:
        sizes_there = sizes(stored, current_cache())
        by_path |= {path: MISSING if size is None else size for path, size in zip(stored, sizes_there, strict=True)}
    return np.array([*map(by_path.__getitem__, paths)], np.int64)


def _sizes_on_disk(paths: Sequence[str]) -> list[int]:
    """Look at paths one after the other, and, after one part of them was slow, at a number of parts from many threads
    at once: a file system over the network answers each slowly, and all of them together fast."""
    parts = iter([paths[start : start + _LOOKED_UP_TOGETHER] for start in range(0, len(paths), _LOOKED_UP_TOGETHER)])
    found: list[int] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for part in parts:
            begun = time.perf_counter()
            found += _extents_of(part)
            if time.perf_counter() - begun > _SLOW * len(part):
                for more in pool.map(_extents_of, itertools.islice(parts, _PARTS_AT_ONCE)):
                    found += more
    return found


def _extents_of(paths: Sequence[str]) -> list[int]:
    return [*map(_extent, paths)]


def _extent(path: str) -> int:
    try:
        status = os.stat(path)
        return len(os.listdir(path)) if stat.S_ISDIR(status.st_mode) else status.st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for what no file name can hold
        return MISSING
    except OSError:
        return UNKNOWN  # opening it says what is wrong with it
