"""Asking a training to stop: it finishes the step at work, saves where it is and leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from ..distributed import get_world_size


class Interrupted(Exception):
    """A training has stopped because it was asked to, in all processes. Not an error: the same command goes on.

    Attributes:
        checkpoint: what it goes on from, step by step as if it had not stopped.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        self.checkpoint = checkpoint

    def __str__(self) -> str:
        return f"stopped as asked; {self.checkpoint} is what the same command goes on from"


# Plain module variables and no threading.Event: its lock may be held by the very code that a signal interrupts.
_answering = False
_requested = False


def request_stop() -> bool:
    """Ask the training in this process to save a checkpoint after its step and to leave with :class:`Interrupted`.

    May be called in a signal handler. In several processes one that is asked is enough.

    Returns:
        Whether it will. False, and nothing else happens: no training is at its steps here, but loading, a measurement,
        or what comes between two epochs.
    """
    global _requested
    _requested = _requested or _answering
    return _answering


def stop_requested() -> bool:
    """Whether this process was asked to stop."""
    return _requested


@contextmanager
def stoppable() -> Iterator[None]:
    """A training: no request outlives it."""
    global _requested
    try:
        yield
    finally:
        _requested = False


@contextmanager
def answering() -> Iterator[None]:
    """Steps: a request that comes inside is answered after the one at work."""
    global _answering
    _answering = True
    try:
        yield
    finally:
        _answering = False


def agreed(wish: int, device: torch.device) -> int:
    """The largest number that any process has; to be called by all of them."""
    if get_world_size() == 1:
        return wish
    largest = torch.tensor(wish, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)
