"""The sets of model weights in a checkpoint, and the choice of one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ..errors import WeightsError, did_you_mean
from .python_objects import Unread

#: Where checkpoints keep the model's weights, and who writes them so; the first that is there is taken.
STATE_KEYS = {
    "model_state": "PyTorchVideo, SlowFast",
    "state_dict": "Lightning, 3D-ResNets, TSM, OpenMMLab and many others",
    "model": "torchvision's reference scripts, VMZ",
    "model_state_dict": "many training scripts",
    "module": "DeepSpeed",
    "net": "many training scripts",
    "network": "many training scripts",
    "params": "BasicSR",
    "weights": "many training scripts",
}

#: Entries that hold tensors, but not a model's: those of optimizers, losses and random generators.
_NO_MODEL = re.compile(
    r"optim|sched|scaler|objective|criterion|loss|rng|random|processes|callbacks|loops", re.IGNORECASE
)

_SHOWN = 10


def model_weights(checkpoint: Mapping[str, Any], path: str, key: str = "") -> dict[str, Tensor]:
    """The state dict in a checkpoint.

    Args:
        checkpoint: as read (:func:`pvbias.zoo.read_checkpoint`).
        path: of the file, for messages.
        key: which of its :func:`weight_sets`; or, with a dot at its end, what the names of those that are meant begin
            with (``state_dict.module.encoder_k.``). Empty: the first set.

    Raises:
        WeightsError: there is none, or none under ``key``.
    """
    sets = weight_sets(checkpoint)
    if not sets:
        raise WeightsError(_none(checkpoint, path))
    if not key:
        return sets[next(iter(sets))]
    if key in sets:
        return sets[key]
    named = {f"{place}.{name}" if place else name: value for place in sets for name, value in sets[place].items()}
    chosen = {name.removeprefix(key): value for name, value in named.items() if name.startswith(key)}
    if not key.endswith(".") or not chosen:
        raise WeightsError(
            f"{path!r} has no weights under {key!r} (CHECKPOINT.STATE_KEY). {did_you_mean(key, filter(None, sets))}"
        )
    return chosen


def weight_sets(checkpoint: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """All state dicts in a checkpoint by the dotted keys that lead to them, the likeliest one first.

    That is the one under the first of :data:`STATE_KEYS`, at any depth, or else the largest. The checkpoint itself, key
    "", is one where it holds tensors. Parts of a model in dicts of their own (``{"backbone": {...}, "head": {...}}``)
    are one set; dicts that have most names in common (``{"student": {...}, "teacher": {...}}``) are several.
    """
    order = list(STATE_KEYS)

    def rank(key: str) -> tuple[list[int], int]:
        named = [order.index(part) if part in order else len(order) for part in key.split(".")]
        return named, -sum(value.numel() for value in sets[key].values())

    sets = dict(_sets(checkpoint, ""))
    return {key: sets[key] for key in sorted(sets, key=rank)}


def _sets(tree: Mapping[Any, Any], path: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    own = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, Tensor)}
    inner = {
        name: value
        for name, value in tree.items()
        if isinstance(name, str) and isinstance(value, Mapping) and not _NO_MODEL.search(name) and _flat(value)
    }
    flat = {name: _flat(value) for name, value in inner.items()}
    counters_only = all(value.numel() <= 1 for value in own.values())
    if any(name in STATE_KEYS for name in inner) or (inner and counters_only and _alike(list(flat.values()))):
        for name, value in inner.items():
            yield from _sets(value, f"{path}.{name}" if path else name)
    elif whole := own | {f"{name}.{key}": value for name, part in flat.items() for key, value in part.items()}:
        yield path, whole


def _flat(tree: Mapping[Any, Any]) -> dict[str, Tensor]:
    """All tensors in nested dicts, under dotted names."""
    found: dict[str, Tensor] = {}
    for name, value in tree.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            found[name] = value
        elif isinstance(name, str) and isinstance(value, Mapping) and not _NO_MODEL.search(name):
            found |= {f"{name}.{key}": inner for key, inner in _flat(value).items()}
    return found


def _alike(parts: list[dict[str, Tensor]]) -> bool:
    """Whether several state dicts are versions of one model, rather than its parts: they have most names in common."""
    first, *others = sorted(parts, key=len)
    return not others or any(2 * len(first.keys() & other.keys()) > len(first) for other in others)


def _none(checkpoint: Mapping[str, Any], path: str) -> str:
    unread = [f"{name!r} ({value.name})" for name, value in checkpoint.items() if isinstance(value, Unread)]
    if unread:
        return (
            f"{path!r} holds Python objects, {', '.join(unread[:_SHOWN])}, but no weights beside them, and making "
            "those would run code from the file. If you trust its origin, read it yourself with torch.load(..., "
            "weights_only=False) and save {'model_state': network.state_dict()}."
        )
    keys = ", ".join(map(str, list(checkpoint)[:_SHOWN])) or "none"
    optimizer = any(re.search("optim|param_groups", str(name)) for name in checkpoint)
    return (
        f"{path!r} holds no model weights{', only the state of an optimizer' if optimizer else ''}: its keys are "
        f"{keys}. Weights are looked for under {', '.join(STATE_KEYS)} and other dicts of tensors, or the file is a "
        "state dict itself."
    )
