"""Arrays of features that lie in several memory-mapped ``.npy`` files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.rows import row_blocks


class FeatureArray:
    """One read-only array ``(N, V, ...)`` over shards, memory-mapped ``.npy`` files of consecutive videos.

    Indexed as a NumPy array is; what is asked for is read, and nothing else: ``array[3]`` of a video, ``array[3:7]``,
    ``array[[5, 2]]``, ``array[mask]``, ``array[:, 0]``, ``array[..., 0]``. New axes and several arrays of indices are
    an IndexError. ``numpy.asarray(array)`` is all of it in memory, and :meth:`blocks` a part after another.

    Where videos have different numbers of views ("windows" of videos of any length) there is no V: ``array[3]`` is of
    one video ``(V_i, ...)``, and the rest is an error that says so.

    Args:
        shards: in order: ``(n, V, ...)``; with ``views``, the views of all videos one after another ``(n, ...)``.
        views: of each video, int64 ``(N,)``; None: V.
    """

    def __init__(self, shards: Sequence[np.ndarray], views: np.ndarray | None = None) -> None:
        self._shards = list(shards)
        self._starts = np.concatenate([[0], np.cumsum([len(shard) for shard in shards])])
        self.views = views
        self._offsets = None if views is None else np.concatenate([[0], np.cumsum(views)])

    @property
    def dtype(self) -> np.dtype:
        """float16 or float32."""
        return self._shards[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, V, ...)``.

        Raises:
            ValueError: videos have different numbers of views.
        """
        self._check_even()
        return (len(self), *self._shards[0].shape[1:])

    @property
    def ndim(self) -> int:
        """The number of dimensions, those of videos and views included."""
        return self._shards[0].ndim + (self.views is not None)

    @property
    def files(self) -> list[str]:
        """Names of the shards' files."""
        return [Path(shard.filename).name for shard in self._shards if isinstance(shard, np.memmap) and shard.filename]

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(shard.nbytes for shard in self._shards)

    def __len__(self) -> int:
        return int(self._starts[-1]) if self.views is None else len(self.views)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *others = self._expanded(key if isinstance(key, tuple) else (key,))
        rest = tuple(others)
        every = (slice(None), *rest)
        if self._offsets is not None:
            number = range(len(self))[first] if isinstance(first, (int, np.integer)) else self._check_even()
            found = self._rows(self._offsets[number], self._offsets[number + 1])
            return found[rest] if rest else found
        if isinstance(first, (int, np.integer)):
            number = range(len(self))[int(first)]
            shard = int(np.searchsorted(self._starts, number, side="right")) - 1
            place = (number - self._starts[shard], *rest)
            return self._shards[shard][place]
        if isinstance(first, slice):
            start, stop, step = first.indices(len(self))
            if step == 1:
                found = self._rows(start, max(start, stop))
                return found[every] if rest else found
        numbers = np.arange(len(self))[first]
        return self._taken(numbers, every)

    def _expanded(self, key: tuple[Any, ...]) -> list[Any]:
        """Indices without an ellipsis, one at least."""
        found = [int(each) if isinstance(each, np.ndarray) and not each.ndim else each for each in key]
        if sum(np.ndim(each) > 0 for each in found) > 1 or any(each is None or np.ndim(each) > 1 for each in found):
            raise IndexError("One list or mask of indices at most, no new axes: index numpy.asarray(array) instead.")
        dots = [place for place, each in enumerate(found) if each is Ellipsis]
        for place in dots[:1]:
            found[place : place + 1] = [slice(None)] * (self.ndim - len(found) + 1)
        return found or [slice(None)]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        """Consecutive rows of the shards: a map of a file where one has them all, else a copy."""
        parts = [
            shard[max(start - begin, 0) : stop - begin]
            for shard, begin in zip(self._shards, self._starts[:-1].tolist(), strict=True)
            if begin < stop and begin + len(shard) > start
        ]
        if not parts:
            return self._shards[0][:0]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _taken(self, numbers: np.ndarray, every: tuple[Any, ...]) -> np.ndarray:
        found = np.empty((len(numbers), *self._shards[0][:0][every].shape[1:]), self.dtype)
        shards = np.searchsorted(self._starts, numbers, side="right") - 1
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            found[places] = self._shards[shard][numbers[places] - self._starts[shard]][every]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self[:]
        return np.array(found, dtype=dtype) if copy or isinstance(found, np.memmap) else np.asarray(found, dtype)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))

    def blocks(self) -> Iterator[np.ndarray]:
        """Consecutive videos ``(n, V, ...)``, some megabytes at a time, of which no more than that stays in memory."""
        self._check_even()
        return itertools.chain.from_iterable(map(row_blocks, self._shards))

    def _check_even(self) -> int:
        if self.views is not None:
            raise ValueError(
                f"The videos have {self.views.min()} to {self.views.max()} views: there is no array of all. Take one "
                "video at a time (array[3]), or the means over views (Features.videos)."
            )
        return 0

    def means(self) -> np.ndarray:
        """Means over each video's views, float32 ``(N, ...)``."""
        if self._offsets is None:
            blocks = [block.mean(1, dtype=np.float32) for block in self.blocks()]
            return np.concatenate(blocks) if blocks else np.empty((0, *self.shape[2:]), np.float32)
        found = np.empty((len(self), *self._shards[0].shape[1:]), np.float32)
        for number, video in enumerate(self):
            found[number] = video.mean(0, dtype=np.float32)
        return found

    def __repr__(self) -> str:
        shape = self.shape if self.views is None else (len(self), "views", *self._shards[0].shape[1:])
        return f"<FeatureArray of shape {shape}, {self.dtype}, in {len(self._shards)} files>"
