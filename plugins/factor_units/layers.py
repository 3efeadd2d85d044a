"""Choice of the layers that are looked at: a network's blocks, from input to output."""

from __future__ import annotations

import torch
from torch import nn

from pvbias.errors import ConfigError
from pvbias.models import EMBEDDING, Recognizer, evaluation_mode

#: Share of the weights that one child has where it is the rest of the network, and its own children are the blocks.
_WRAPS = 0.9


def blocks(recognizer: Recognizer) -> list[str]:
    """Names of a network's blocks, in the order in which they end, and the embedding where there is one.

    The blocks are the children of the outermost module none of whose children has 90 % of the weights: the stages of a
    convolutional network, the blocks of a transformer. Left out are those that have the final projection in them, that
    do not run, or whose output is not one of features (``mean(NAME)`` is not to be had). One grey clip goes through the
    network.
    """
    network = recognizer.module
    outer, prefix = network, ""
    while True:
        children = dict(outer.named_children())
        wrapped = [
            name
            for name, child in children.items()
            if any(child.children()) and _weights(child) > _WRAPS * _weights(outer)
        ]
        if not wrapped:
            break
        outer, prefix = children[wrapped[0]], f"{prefix}{wrapped[0]}."
    head = recognizer.head_name
    candidates = [f"{prefix}{name}" for name in children if not f"{head}.".startswith(f"{prefix}{name}.")]
    found = _that_give_features(recognizer, candidates)
    return [*found, *([EMBEDDING] if head else [])]


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _that_give_features(recognizer: Recognizer, names: list[str]) -> list[str]:
    """Those of some modules that run and give features, in the order in which they end."""
    order: dict[str, None] = {}
    handles = [
        recognizer.submodule(name).register_forward_hook(lambda *_, name=name: order.setdefault(name)) for name in names
    ]
    spec = recognizer.clip_spec
    clip = torch.full((1, len(spec.mean), spec.num_frames, spec.crop_size, spec.crop_size), 0.5)
    clip = clip.to(recognizer.mean.device)
    try:
        with evaluation_mode(recognizer), torch.no_grad():
            recognizer(clip)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for name in order:
        try:
            with evaluation_mode(recognizer), torch.no_grad(), recognizer.taps(f"mean({name})"):
                recognizer(clip)
        except ConfigError:
            continue
        found.append(name)
    return found
