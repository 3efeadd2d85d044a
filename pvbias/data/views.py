"""Views of a long video, which are never all in memory: in order for the network, and again for who looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .bad_videos import BadVideo


class BadViewsError(Exception):
    """Views behind the first ones of a long video cannot be had.

    Attributes:
        video: the video, which is a bad one.
    """

    def __init__(self, video: BadVideo) -> None:
        super().__init__(str(video))
        self.video = video


class Views:
    """The clips, or the values of a track, of all views of a long video ``(V, C, T, H, W)``.

    ``len``, ``shape``, ``views[3]``, ``views[3:7]`` and ``split`` read those that are meant, from the file, each time.
    Whatever else a tensor can do is done with all of them in memory.

    Args:
        shape: ``(V, C, T, H, W)``.
        read: gives views ``start .. stop - 1``, ``(stop - start, C, T, H, W)``.
        stream: gives all views in order, some at a time, as they were loaded.
    """

    def __init__(
        self,
        shape: torch.Size,
        read: Callable[[int, int], Tensor],
        stream: Callable[[], Iterator[Tensor]] | None = None,
    ) -> None:
        self.shape = shape
        self._read = read
        self._stream = stream

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, int) and -len(self) <= key < len(self):
            return self._read(key % len(self), key % len(self) + 1)[0]
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(len(self))
            return self._read(start, stop) if start < stop else self._read(0, 1)[:0]
        return self.all()[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.all(), name)

    def all(self) -> Tensor:
        """All views as one tensor: for a long video more than most machines have."""
        return self._read(0, len(self))

    def split(self, size: int) -> Iterator[Tensor]:
        """``size`` views at a time; the last ones may be fewer."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def map(self, function: Callable[[Tensor], Tensor]) -> Views:
        """The views, each taken through a function when it is read."""
        return Views(self.shape, lambda start, stop: function(self._read(start, stop)))

    def in_order(self) -> Iterator[Tensor]:
        """All views, some megabytes at a time.

        Raises:
            BadViewsError: some of them cannot be had.
        """
        assert self._stream is not None
        return self._stream()
