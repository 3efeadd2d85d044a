"""Choice of the layers that are looked at: a network's blocks, from input to output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from pvbias.errors import ConfigError
from pvbias.models import EMBEDDING, Recognizer, evaluation_mode
from pvbias.models.layer_features import LayerCall, mean_over_positions

#: Share of the network's weights that a module has which is the rest of it, so that its parts are the blocks.
_WRAPS = 0.9

#: What :func:`blocks` has found: a run makes its evaluators several times, to know what they need.
_FOUND: WeakKeyDictionary[Recognizer, list[str]] = WeakKeyDictionary()


def blocks(recognizer: Recognizer) -> list[str]:
    """Names of a network's blocks, in the order in which they end, and the embedding where there is one.

    The network is taken apart into its children, and so is each of these that has 90 % of the weights, gives no
    features itself (``mean(NAME)`` is not to be had), or has the final projection in it: what is left are the stages of
    a convolutional network, the blocks of a transformer. Modules without weights are left out. One grey clip goes
    through the network, when a recognizer is first asked about.
    """
    if recognizer not in _FOUND:
        order = _giving_features(recognizer)
        parts = set(_parts(recognizer, "", set(order)))
        _FOUND[recognizer] = [
            *(name for name in order if name in parts),
            *([EMBEDDING] if recognizer.head_name else []),
        ]
    return list(_FOUND[recognizer])


def _parts(recognizer: Recognizer, name: str, giving: set[str]) -> Iterator[str]:
    """The parts of a module that give features."""
    network = recognizer.module
    for child, module in network.get_submodule(name).named_children():
        inner = f"{name}.{child}".lstrip(".")
        has_head = f"{recognizer.head_name}.".startswith(f"{inner}.")
        wraps = any(module.children()) and _weights(module) > _WRAPS * _weights(network)
        if inner in giving and not has_head and not wraps:
            yield inner
        elif not has_head or wraps:
            yield from _parts(recognizer, inner, giving)


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _giving_features(recognizer: Recognizer) -> list[str]:
    """The modules whose mean over positions is to be had, in the order in which they end."""
    found: dict[str, None] = {}
    spec, network = recognizer.clip_spec, recognizer.module

    def look(name: str, module: nn.Module, args: Any, output: Any) -> None:
        try:
            means = mean_over_positions(LayerCall(name, module, network, args, {}, output, spec.num_frames))
        except (ConfigError, TypeError):  # neither a tensor nor several
            return
        if means.dim() == 2 and len(means) == 1:
            found.setdefault(name)

    handles = [
        module.register_forward_hook(lambda *call, name=name: look(name, *call))
        for name, module in network.named_modules()
        if name and _weights(module)  # a dropout says what the layer before it does
    ]
    clip = torch.full((1, len(spec.mean), spec.num_frames, spec.crop_size, spec.crop_size), 0.5)
    try:
        with evaluation_mode(recognizer), torch.no_grad():
            recognizer(clip.to(recognizer.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    return list(found)
