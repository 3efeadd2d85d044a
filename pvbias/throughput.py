"""Clips a second, how busy the device is, and memory: for the log of a run."""

from __future__ import annotations

import torch

from .machine import peak_memory


class Throughput:
    """What has been done since the last :meth:`reset`, and in how much time; its text is for people.

    Args:
        device: where clips go through a network.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.reset()

    def reset(self) -> None:
        """Forget what has been done."""
        self.clips = 0
        self._seconds = self._busy = 0.0

    def add(self, clips: int, *, seconds: float, busy: float) -> None:
        """Add clips that are through.

        Args:
            clips: how many.
            seconds: that it took.
            busy: seconds in which the device had them to do.
        """
        self.clips += clips
        self._seconds += seconds
        self._busy += busy

    def __str__(self) -> str:
        """``412 clips/s, device busy 93 %, 11.2 GiB``: the largest memory so far, of the GPU or of this process."""
        if not self._seconds:
            return "no clips"
        rate, busy = self.clips / self._seconds, min(1.0, self._busy / self._seconds)
        return f"{rate:.3g} clips/s, device busy {100 * busy:.0f} %, {peak_memory(self._device) / 2**30:.3g} GiB"
