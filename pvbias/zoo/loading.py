"""Weights into a recognizer, with an account of every key."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..models import Recognizer
from .fetching import fetch

#: Where checkpoints keep the model's weights: PyTorchVideo and SlowFast, Lightning and many others.
STATE_KEYS = ("model_state", "state_dict", "model")

#: Least fraction of the backbone's parameters (all but the head's, counted one by one) that a checkpoint must fill.
MIN_BACKBONE_FRACTION = 0.9

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What a checkpoint did to a recognizer; ``str()`` of it is for people, :meth:`to_dict` for files.

    Attributes:
        source: as asked for.
        path: the local file.
        loaded: keys whose values were taken.
        skipped: keys of the file that were not taken, with the reason.
        initialised: keys of the model that keep their initial values, with the reason.
        backbone_fraction: part of the backbone's parameters that was loaded, [0, 1].
        head_loaded: the final projection came from the file, too.
    """

    source: str
    path: str
    loaded: tuple[str, ...]
    skipped: Mapping[str, str]
    initialised: Mapping[str, str]
    backbone_fraction: float
    head_loaded: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "path": self.path,
            "loaded": list(self.loaded),
            "skipped": dict(self.skipped),
            "initialised": dict(self.initialised),
            "backbone_fraction": self.backbone_fraction,
            "head_loaded": self.head_loaded,
        }

    def __str__(self) -> str:
        head = "the head as well" if self.head_loaded else "the head starts anew"
        lines = [
            f"Weights from {self.source}: {len(self.loaded)} keys loaded "
            f"({self.backbone_fraction:.1%} of the backbone's parameters; {head})"
        ]
        lines += _listed("in the file, not used", self.skipped)
        lines += _listed("newly initialised", self.initialised)
        return "\n".join(lines)


def load_weights(recognizer: Recognizer, source: str, *, sha256: str = "") -> LoadReport:
    """Load a checkpoint into a recognizer, all of it that fits, or change nothing and say why.

    Another class count leaves the head at its initial values. Any other key that does not fit is left out and reported.

    Args:
        recognizer: the model, as built.
        source: as for :func:`pvbias.zoo.fetch`.
        sha256: expected checksum; empty: the catalogue's, or none.

    Raises:
        WeightsError: the file cannot be had or read, holds no weights, or fills less than
            :data:`MIN_BACKBONE_FRACTION` of the backbone.
    """
    return load_module_weights(recognizer.module, recognizer.head_name, source, sha256=sha256, key="MODEL.MODEL_NAME")


def load_module_weights(module: nn.Module, head_name: str, source: str, *, sha256: str = "", key: str) -> LoadReport:
    """:func:`load_weights` for a bare module.

    Args:
        module: a classifier, as built.
        head_name: dotted name of its final projection.
        source, sha256: as for :func:`load_weights`.
        key: the configuration key that names the architecture, for messages.

    Raises:
        WeightsError: as for :func:`load_weights`.
    """
    path = fetch(source, sha256)
    weights = model_weights(read_checkpoint(path), path)
    own = module.state_dict()
    weights = _without_wrappers(weights, own)
    head = {name for name in own if name.startswith(head_name + ".")}
    reasons = _misfits(weights, own, head)
    fitting = {name: weights[name] for name in own if name in weights and name not in reasons}

    sizes = {name: value.numel() for name, value in module.named_parameters() if name not in head}
    fraction = sum(size for name, size in sizes.items() if name in fitting) / max(sum(sizes.values()), 1)
    report = LoadReport(
        source=source,
        path=path,
        loaded=tuple(fitting),
        skipped={name: reasons.get(name, "unknown to the model") for name in weights if name not in fitting},
        initialised={name: reasons.get(name, "not in the file") for name in own if name not in fitting},
        backbone_fraction=fraction,
        head_loaded=head <= fitting.keys(),
    )
    if not fitting or fraction < MIN_BACKBONE_FRACTION:
        raise WeightsError(_does_not_fit(report, key))
    module.load_state_dict(fitting, strict=False)
    return report


def read_checkpoint(path: str) -> dict[str, Any]:
    """The dict in a checkpoint file, on the CPU; nothing but tensors and plain values is ever unpickled.

    Raises:
        WeightsError: the file is no checkpoint, is cut off, or would have to run code.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path!r} cannot be read: {error}.") from error
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # What torch raises for a file that is none of its own, or only half of one, is not settled.
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"{path!r} {_why_unreadable(start, error)}") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path!r} holds a {type(checkpoint).__name__}, not a dict with weights.")
    return checkpoint


def model_weights(checkpoint: Mapping[str, Any], path: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint: under one of :data:`STATE_KEYS`, or the checkpoint itself.

    Raises:
        WeightsError: there is none.
    """
    for key in STATE_KEYS:
        if isinstance(checkpoint.get(key), dict):
            return _tensors(checkpoint[key])
    weights = _tensors(checkpoint)
    if not weights:
        keys = ", ".join(map(str, list(checkpoint)[:_SHOWN])) or "none"
        raise WeightsError(
            f"{path!r} holds no model weights: its keys are {keys}. Weights are looked for under "
            f"{', '.join(STATE_KEYS)}, or the file is a state dict itself."
        )
    return weights


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _without_wrappers(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the ``module.`` that DataParallel (or a Recognizer) puts before every name, however often."""
    prefix = "module."
    while weights and all(name.startswith(prefix) for name in weights) and not any(name in own for name in weights):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _misfits(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], head: set[str]) -> dict[str, str]:
    """Keys that both have, with the reason for not loading them."""
    reasons = {}
    for name in own.keys() & weights.keys():
        theirs, ours = tuple(weights[name].shape), tuple(own[name].shape)
        if theirs == ours:
            continue
        if name in head and theirs[1:] == ours[1:]:
            reasons[name] = f"{theirs[0]} classes in the file, {ours[0]} in the model"
        else:
            reasons[name] = f"shape {theirs} in the file, {ours} in the model"
    if any(name in reasons for name in head):  # half a head would mix two label sets
        for name in head & weights.keys() - reasons.keys():
            reasons[name] = "the rest of the head does not fit"
    return reasons


def _why_unreadable(start: bytes, error: Exception) -> str:
    if not start:
        return "is empty."
    if start.lstrip().startswith(b"<"):
        return "is a web page, not a checkpoint: the address leads to a page about the file, or to an error message."
    needed = re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
    if needed:
        return (
            f"holds Python objects ({needed[1]}) beside weights, and reading those would run code from the file. If "
            "you trust its origin, read it yourself with torch.load(..., weights_only=False) and save "
            "{'model_state': state_dict} again."
        )
    return "is cut off, or no PyTorch checkpoint. Fetch it again."


def _does_not_fit(report: LoadReport, key: str) -> str:
    lines = [
        f"The weights in {report.path!r} do not fit the model: {len(report.loaded)} keys match, "
        f"{report.backbone_fraction:.1%} of the backbone's parameters (at least {MIN_BACKBONE_FRACTION:.0%} must). "
        f"Nothing was loaded. Check {key}."
    ]
    lines += _listed("in the file, not used", report.skipped)
    lines += _listed("in the model, not filled", report.initialised)
    return "\n".join(lines)


def _listed(title: str, keys: Mapping[str, str]) -> list[str]:
    """``title (number):`` and the keys below it, grouped by reason, the first few of each."""
    if not keys:
        return []
    by_reason: dict[str, list[str]] = {}
    for name, reason in keys.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"  {title} ({len(keys)}):"]
    for reason, names in by_reason.items():
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"    {', '.join(names[:_SHOWN])}{more}: {reason}")
    return lines
