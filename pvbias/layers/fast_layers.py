"""Faster forwards of the layers of a model: by kind, put in when the model is placed on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..registries import FAST_LAYER
from .batch_norm import forward_as_4d, forward_batch_norm
from .depthwise import forward_depthwise, is_depthwise
from .fast_forward import FastForward, is_fast, is_replaced
from .layer_norm import forward_layer_norm, is_layer_norm
from .max_pool import forward_max_pool, is_max_pool
from .sequential import forward_sequence, is_normalized_sequence
from .stem import forward_stem, is_stem


@dataclass(frozen=True, kw_only=True)
class FastLayer:
    """A faster forward of one kind of layer; registered in FAST_LAYER.

    Attributes:
        applies: ``applies(module)``: whether a module is of the kind.
        forward: ``forward(module, *args, **kwargs)`` returns what the module's own forward does, to rounding, and has
            its gradients. It calls ``type(module).forward`` for inputs that it is not for.
        description: what is done differently, for ``pvbias list fast_layers``.
    """

    applies: Callable[[nn.Module], bool]
    forward: Callable[..., Any]
    description: str


def use_fast_layers(model: nn.Module, off: Sequence[str] = ()) -> None:
    """Give the layers of a model the fast forwards of their kinds; a layer that had one already gets it anew.

    Only how a layer computes changes: its type, parameters, names, hooks and state dict are what they were.

    Args:
        model: the module and all inside it.
        off: names of kinds to leave to torch.
    """
    for module in model.modules():
        name = kind_of(module)
        if name and name not in off:
            module.forward = FastForward(FAST_LAYER.get(name).forward, module)
        elif is_fast(module):
            del module.forward


@contextmanager
def differentiable_twice(model: nn.Module) -> Iterator[None]:
    """Let the layers of a model compute as torch's own do in the forwards inside: these have second derivatives, which
    the kernels here have not."""
    fast = {module: vars(module).pop("forward") for module in model.modules() if is_fast(module)}
    try:
        yield
    finally:
        for module, forward in fast.items():
            module.forward = forward


def kind_of(module: nn.Module) -> str:
    """The name in FAST_LAYER of the kind of a module; empty: none, or its forward has been replaced."""
    if is_replaced(module):
        return ""
    return next((name for name, kind in FAST_LAYER if kind.applies(module)), "")


def describe_fast_layers(model: nn.Module) -> Mapping[str, int]:
    """How many layers of each kind have their fast forward."""
    counts: dict[str, int] = {}
    for module in model.modules():
        if is_fast(module):
            name = kind_of(module)
            counts[name] = counts.get(name, 0) + 1
    return counts


def _is(kind: type[nn.Module]) -> Callable[[nn.Module], bool]:
    return lambda module: isinstance(module, kind) and type(module).forward is kind.forward


FAST_LAYER.register(
    FastLayer(
        applies=is_stem,
        forward=forward_stem,
        description="Convolutions of RGB and flow, as 2D convolutions over frames with the taps as channels",
    ),
    name="stem",
)
FAST_LAYER.register(
    FastLayer(
        applies=is_depthwise,
        forward=forward_depthwise,
        description="Depthwise 3D convolutions, Triton kernels in channels_last_3d",
    ),
    name="depthwise",
)
FAST_LAYER.register(
    FastLayer(
        applies=_is(nn.BatchNorm3d),
        forward=forward_batch_norm,
        description="BatchNorm of channels_last_3d, Triton kernels, with the activation and shortcut that follow it",
    ),
    name="batch_norm",
)
FAST_LAYER.register(
    FastLayer(
        applies=_is(nn.SyncBatchNorm),
        forward=forward_as_4d,
        description="SyncBatchNorm of channels_last_3d, by torch's kernels for channels_last",
    ),
    name="sync_batch_norm",
)
FAST_LAYER.register(
    FastLayer(
        applies=is_normalized_sequence,
        forward=forward_sequence,
        description="Sequences of layers in which a BatchNorm applies the activation behind it",
    ),
    name="sequence",
)
FAST_LAYER.register(
    FastLayer(
        applies=is_max_pool,
        forward=forward_max_pool,
        description="3D max pooling, Triton kernels in channels_last_3d",
    ),
    name="max_pool",
)
FAST_LAYER.register(
    FastLayer(
        applies=is_layer_norm,
        forward=forward_layer_norm,
        description="LayerNorm of up to 1,024 channels, Triton kernels",
    ),
    name="layer_norm",
)
