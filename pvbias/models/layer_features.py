"""Features that are computed of an inner module's call where it happens, on the device: ``mean(blocks.3)``.

What a module gives may be a hundred thousand times larger than what is wanted of it: only this leaves the device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..registries import FEATURE
from .outputs import each_tensor
from .pooling import pool

_COMPUTED = re.compile(r"(\w+)\((.*)\)")

#: Whether modules are called to compute a feature, and not by the forward that features are collected of.
_ASIDE: ContextVar[bool] = ContextVar("aside", default=False)


def is_aside() -> bool:
    """Whether the call of a module at hand is one of :meth:`LayerCall.again`, of which nothing is collected."""
    return _ASIDE.get()


@contextmanager
def _aside() -> Iterator[None]:
    token = _ASIDE.set(True)
    try:
        yield
    finally:
        _ASIDE.reset(token)


@dataclass(frozen=True)
class LayerCall:
    """A call of an inner module in a forward.

    Attributes:
        name: the module's dotted name.
        module: itself.
        network: that it is part of.
        args, kwargs: what it was given.
        output: what it gave.
        num_frames: of the clips that the model is for.
    """

    name: str
    module: nn.Module
    network: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    num_frames: int

    def again(self) -> Any:
        """What the module gives for the same arguments, once more: for a computation that looks into the call or
        changes something in the module for the while. Nothing of it is collected as a feature."""
        with _aside():
            return self.module(*self.args, **self.kwargs)


LayerFeature = Callable[[LayerCall], Tensor]


def layer_of(feature: str) -> str:
    """The dotted name of the inner module that a feature is of: ``blocks.3`` of ``mean(blocks.3)`` and ``blocks.3``."""
    computed = _COMPUTED.fullmatch(feature)
    return computed[2] if computed else feature


def computation(feature: str) -> LayerFeature | None:
    """The registered computation that a feature names; None where the module's output itself is the feature.

    Raises:
        ConfigError: there is no such computation in the FEATURE registry.
    """
    computed = _COMPUTED.fullmatch(feature)
    return FEATURE.get(computed[1]) if computed else None


@FEATURE.register(name="mean")
def mean_over_positions(call: LayerCall) -> Tensor:
    """Mean over all positions in space and time, channel by channel: ``(N, D)``, float32; of several pathways side by
    side (:func:`.pooling.pool`)."""
    return pool(each_tensor(_single_precision, call.output), "all", num_frames=call.num_frames, layer=call.name)


def _single_precision(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
