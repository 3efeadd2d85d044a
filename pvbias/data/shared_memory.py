"""Objects made of numpy arrays, whose memory worker processes share."""

from __future__ import annotations

import pickle
from itertools import pairwise
from multiprocessing.context import get_spawning_popen
from multiprocessing.heap import BufferWrapper  # what multiprocessing.sharedctypes is made of
from typing import Any

import numpy as np

#: A pickle without its arrays, these, and where each begins and ends.
_Memory = tuple[bytes, BufferWrapper, list[tuple[int, int]]]

#: Arrays begin at multiples of this, bytes.
_ALIGNED = 64


class Shared:
    """Base of classes whose numpy arrays workers see in one memory, wherever such an object is in what is sent to them.

    Their arrays must not be changed. Pickled for anything but the start of a process, they are copied as others are.
    """

    _shared: _Memory | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if get_spawning_popen() is None:
            return _from_state, (type(self), {name: value for name, value in vars(self).items() if name != "_shared"})
        if self._shared is None:
            self._share()
        return _from_shared, (type(self), self._shared)

    def _share(self) -> None:
        """Move the arrays to memory that other processes can have: those of this one as well, so that they are there
        once."""
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(vars(self), protocol=5, buffer_callback=buffers.append)
        parts = [buffer.raw() for buffer in buffers]
        ends = np.cumsum([0, *(-(-part.nbytes // _ALIGNED) * _ALIGNED for part in parts)]).tolist()
        memory = BufferWrapper(ends[-1] or 1)
        view = memory.create_memoryview()
        places = [(start, start + part.nbytes) for part, (start, _) in zip(parts, pairwise(ends), strict=True)]
        for part, (start, end) in zip(parts, places, strict=True):
            view[start:end] = part
        self.__dict__ = _loaded(body, memory, places) | {"_shared": (body, memory, places)}


def _from_state(kind: type[Shared], state: dict[str, Any]) -> Shared:
    made = kind.__new__(kind)
    made.__dict__ = state
    return made


def _from_shared(kind: type[Shared], shared: _Memory) -> Shared:
    return _from_state(kind, _loaded(*shared) | {"_shared": shared})


def _loaded(body: bytes, memory: BufferWrapper, places: list[tuple[int, int]]) -> dict[str, Any]:
    view = memory.create_memoryview().toreadonly()
    return pickle.loads(body, buffers=[view[start:end] for start, end in places])
