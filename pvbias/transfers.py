"""Copies between the host's memory and a GPU's that the host does not wait for; on the CPU there is nothing to copy."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor


def is_asynchronous(device: torch.device) -> bool:
    """Whether work on a device is queued, and the host goes on before it is done."""
    return device.type != "cpu"


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device. The host does not wait for the copy to a GPU: it is made from page-locked memory."""
    if device.type == "cuda" and values.device.type == "cpu" and not values.is_pinned():
        # Without gaps between the values, of which torch would make a copy elsewhere first.
        values = torch.empty_like(values, pin_memory=True).copy_(values)
    return values.to(device, non_blocking=True)


def to_device_joined(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tensors joined along their first dimension, on a device: put together in page-locked memory, and copied once."""
    if device.type != "cuda":
        return to_device(torch.cat(list(parts)), device)
    first = parts[0]
    shape = (sum(len(part) for part in parts), *first.shape[1:])
    memory_format = torch.contiguous_format if first.is_contiguous() else torch.channels_last_3d
    joined = torch.empty(shape, dtype=first.dtype, pin_memory=True, memory_format=memory_format)
    return to_device(torch.cat(list(parts), out=joined), device)


def to_host(values: Tensor) -> Tensor:
    """A tensor in the host's memory, page-locked where it is from a GPU: its values are there once the GPU has come to
    the end of a :class:`Span` that ends later."""
    return values.to("cpu", non_blocking=True)


class Span:
    """A stretch of a device's work: behind all that is queued so far, up to :meth:`end`.

    Args:
        device: on the CPU nothing is queued, and nothing is waited for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = self._ended = self._now()

    def end(self) -> None:
        """Let it end behind all that is queued so far."""
        self._ended = self._now()

    def wait(self) -> None:
        """Wait until the device has come to its end."""
        if not isinstance(self._ended, float):
            self._ended.synchronize()

    def seconds(self) -> float:
        """The time from its beginning to its end on the device; waits for that."""
        if isinstance(self._began, float) or isinstance(self._ended, float):
            return float(self._ended - self._began)  # type: ignore[operator]
        self.wait()
        return self._began.elapsed_time(self._ended) / 1000

    def _now(self) -> torch.cuda.Event | float:
        if self._device.type != "cuda":
            return time.perf_counter()
        # Blocking: the host sleeps while it waits, and leaves its cores to whatever decodes.
        event = torch.cuda.Event(enable_timing=True, blocking=True)
        event.record(torch.cuda.current_stream(self._device))
        return event
