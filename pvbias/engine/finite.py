"""Losses and gradients that are not finite: an error that names the videos, and no weight is changed by them.

On the CPU a value is looked at as soon as it is there. A GPU has the step still to do when the host has queued it, and
the host does not wait: the values of a step are read when the next one is queued, or a checkpoint asks for them. What
keeps weights from changing until then is queued, too: from the first value that is not finite on, all gradients are
NaN, and the optimizer, which torch's fused kernels tell so (``found_inf``, as its GradScaler does), leaves everything
as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..transfers import Span, is_asynchronous, to_device, to_host

#: Makes the error of scalars that are not finite, of their values by name.
Refusal = Callable[[Mapping[str, float]], Exception]


class FiniteGuard:
    """Keeps weights unchanged, on a device that is ahead of what the host has read, from the first value that is not
    finite on.

    Args:
        device: where the training runs. Nothing to do where values are read at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._sound = torch.ones((), device=device) if is_asynchronous(device) else None

    def note(self, values: Tensor) -> None:
        """Take note of values: whether all of them are finite."""
        if self._sound is not None:
            self._sound = self._sound.where(values.isfinite().all(), math.nan)

    def guarded(self, loss: Tensor) -> Tensor:
        """The loss, whose gradients are NaN where something was not finite: in all processes that average them."""
        return loss if self._sound is None else loss * self._sound

    def withhold(self, optimizer: Optimizer) -> None:
        """Let the optimizer's next step change nothing where something was not finite. (With loss scaling it learns
        from the scaler, which sees the gradients.)"""
        if self._sound is not None:
            optimizer.found_inf = self._sound.isnan().float()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Part:
    """Scalars that belong together: of the loss of one mini-batch in one phase, or the norm of gradients."""

    keys: tuple[str, ...]
    values: Tensor
    divisor: int
    refusal: Refusal | None


class StepScalars:
    """The scalars of one step, to be logged.

    Args:
        device: where the step is computed.
        guard: of the training.
    """

    def __init__(self, device: torch.device, guard: FiniteGuard) -> None:
        self._device = device
        self._guard = guard
        self._parts: list[_Part] = []
        self._late: Tensor | None = None
        self._metrics: dict[str, float] = {}
        #: The device's work on the step.
        self.span = Span(device)

    def add(self, values: Mapping[str, Tensor], *, divisor: int = 1, refusal: Refusal | None = None) -> None:
        """Add scalars; where they are read at once, an error is raised here.

        Args:
            values: by the key they are logged under.
            divisor: what they are divided by before they are summed.
            refusal: makes the error where one is not finite; None: that is nothing to worry about.
        """
        # Of gradients that are not there torch gives a norm on the CPU.
        scalars = [to_device(value.detach(), self._device).reshape(()) for value in values.values()]
        stacked = torch.stack(scalars)
        part = _Part(tuple(values), stacked, divisor, refusal)
        if not is_asynchronous(self._device):
            self._take(part, stacked.tolist())
            return
        if refusal is not None:
            self._guard.note(stacked)
        self._parts.append(part)

    def end(self) -> None:
        """Note that all of the step is queued; its values are on their way to the host from here on."""
        if self._parts:
            self._late = to_host(torch.cat([part.values.double() for part in self._parts]))
        self.span.end()

    def read(self) -> dict[str, float]:
        """The sums of the scalars, by key; waits for the device until it has done the step.

        Raises:
            Exception: the first refusal of a value that is not finite.
        """
        if self._late is not None:
            self.span.wait()
            values = iter(self._late.tolist())
            for part in self._parts:
                self._take(part, [next(values) for _ in part.keys])
            self._late, self._parts = None, []
        return self._metrics

    def _take(self, part: _Part, values: list[float]) -> None:
        named = dict(zip(part.keys, values, strict=True))
        broken = {key: value for key, value in named.items() if not math.isfinite(value)}
        if broken and part.refusal is not None:
            raise part.refusal(broken)
        for key, value in named.items():
            self._metrics[key] = self._metrics.get(key, 0.0) + value / part.divisor
