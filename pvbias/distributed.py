"""Helpers for distributed runs; all of them work without torch.distributed, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from .transfers import Span, to_device, to_host


def is_distributed() -> bool:
    """Whether this process belongs to an initialised process group."""
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """This process's number, 0 .. world size - 1."""
    return dist.get_rank() if is_distributed() else 0


def get_world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if is_distributed() else 1


def is_main_process() -> bool:
    """Whether this is the process that writes files and talks to the user."""
    return get_rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if is_distributed():
        dist.barrier()


def all_gather_objects(value: Any) -> list[Any]:
    """The (picklable) values of all processes, in rank order, in every process."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * get_world_size()
    dist.all_gather_object(values, value)
    return values


def gather_objects(value: Any) -> list[Any]:
    """The (picklable) values of all processes, in rank order, in the main process; nothing in the others."""
    if not is_distributed():
        return [value]
    values: list[Any] | None = [None] * get_world_size() if is_main_process() else None
    dist.gather_object(value, values)
    return values or []


def agree(wish: int, device: torch.device) -> Callable[[], int]:
    """Ask for the maximum of a number over all processes; to be called by all of them.

    Returns:
        A function that gives it. It waits for a GPU until that has done what was queued before.
    """
    if get_world_size() == 1:
        return lambda: wish
    span = Span(device)
    largest = to_device(torch.tensor(wish), device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    found = to_host(largest)
    span.end()

    def read() -> int:
        span.wait()
        return int(found)

    return read


def agreed(wish: int, device: torch.device) -> int:
    """The maximum of a number over all processes; to be called by all of them."""
    return agree(wish, device)()
