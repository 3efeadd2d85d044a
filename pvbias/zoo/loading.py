"""Loading of weights into a recognizer, with an account of every key."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..clips import ClipSpec
from ..distributed import is_main_process
from ..errors import WeightsError
from ..models import Recognizer
from ..registries import KEY_LAYOUT
from .fetching import fetch
from .key_layouts import NormalisedLayout
from .matching import Match, match, match_catalogue
from .reading import read_checkpoint
from .weight_sets import model_weights, weight_sets

logger = logging.getLogger(__name__)

#: Least fraction of the backbone's parameters (all but the head's, counted one by one) that a checkpoint must fill;
#: default of the configuration's ``CHECKPOINT.MIN_MATCH``.
MIN_MATCH = 0.9

_SHOWN = 10

#: Keys that a caution names.
_CAUTIONED = 3

#: Models of the catalogue that an error names as nearest.
_NEAREST = 3


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """The account of a loaded checkpoint; ``str()`` of it is for people, :meth:`to_dict` for files.

    Attributes:
        source: as asked for.
        path: the local file.
        state_key: where in the file its weights are; empty: it is a state dict itself.
        others: further sets of weights that it has for the model, as ``CHECKPOINT.STATE_KEY`` takes them (averaged
            weights beside plain ones).
        prefix: what was stripped from the file's names (``module.``); empty: nothing.
        layout: whose names the file has, from the registry KEY_LAYOUT; empty: the model's own.
        head: name in the file of what was read as the final projection; empty: the model's own name, or none.
        loaded: keys whose values were taken.
        inflated: those of them that are 2D kernels in the file.
        averaged: those of them that are kernels on RGB in the file, and on other channels in the model.
        skipped: keys of the file that were not taken, with the reason; under the names that they got by ``prefix``
            and ``layout``.
        initialised: keys of the model that keep their initial values, with the reason.
        random: those of them that are the backbone's parameters and statistics: layers that do not do what they did
            where the weights were trained.
        surplus: names in the file of further layers in a row of which the model has fewer: it is of a deeper network.
        backbone_fraction: part of the backbone's parameters that was loaded, [0, 1].
        head_loaded: the final projection came from the file, too.
    """

    source: str
    path: str
    state_key: str
    others: tuple[str, ...]
    prefix: str
    layout: str
    head: str
    loaded: tuple[str, ...]
    inflated: tuple[str, ...]
    averaged: tuple[str, ...]
    skipped: Mapping[str, str]
    initialised: Mapping[str, str]
    random: tuple[str, ...]
    surplus: tuple[str, ...]
    backbone_fraction: float
    head_loaded: bool

    def to_dict(self) -> dict[str, Any]:
        """The account as plain values, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        head = "the head as well" if self.head_loaded else "the head starts anew"
        lines = [
            f"Weights from {self.source}: {len(self.loaded)} keys loaded "
            f"({percent(self.backbone_fraction)} of the backbone's parameters; {head})"
        ]
        steps = describe_reading(self.prefix, self.layout, len(self.inflated), self.averaged, self.head)
        lines += [f"  {step}" for step in [*describe_sets(self.state_key, self.others), *steps]]
        lines += _listed("in the file, not used", self.skipped)
        lines += _listed("newly initialised", self.initialised)
        return "\n".join(lines)

    @property
    def caution(self) -> str:
        """A caution about the backbone for readers of figures; empty: all of it was loaded."""
        if self.surplus:
            return (
                f"{self.source} has more layers than the model, {len(self.surplus)} weights that it has no place for "
                f"({', '.join(self.surplus[:_CAUTIONED])}, ...): it is of a deeper network, and what is left of that "
                "was not trained so. `pvbias inspect` says of which."
            )
        if not self.random:
            return ""
        named = ", ".join(f"{name} ({self.initialised[name]})" for name in self.random[:_CAUTIONED])
        more = f", and {len(self.random) - _CAUTIONED} more" if len(self.random) > _CAUTIONED else ""
        return (
            f"{len(self.random)} of the backbone's weights keep their random initial values, since {self.source} does "
            f"not fill them: {named}{more}. What the model sees goes through them."
        )


def load_weights(
    recognizer: Recognizer, source: str, *, sha256: str = "", min_match: float = MIN_MATCH, state_key: str = ""
) -> LoadReport:
    """Load a checkpoint into a recognizer, all of it that fits, or change nothing and say why.

    The file may have wrappers before its names, names of a registered layout, sub-batch-norm, 2D kernels, another name
    for the head (:mod:`pvbias.zoo.key_layouts`): of all ways to read it, the one that fills most of the model is taken.
    Another class count leaves the head at its initial values. Any other key that does not fit is left out and reported.

    Args:
        recognizer: the model, as built.
        source: as for :func:`pvbias.zoo.fetch`.
        sha256: expected checksum; empty: the catalogue's, or none.
        min_match: least fraction of the backbone's parameters that the file must fill, [0, 1].
        state_key: which of the file's sets of weights, as for :func:`pvbias.zoo.model_weights`.

    Raises:
        WeightsError: the file cannot be had or read, holds no weights, or fills nothing or too little of the
            backbone; the message then names the models of the catalogue that it fits best.
    """
    return load_module_weights(
        recognizer.module,
        recognizer.head_name,
        source,
        sha256=sha256,
        min_match=min_match,
        state_key=state_key,
        key="MODEL.MODEL_NAME",
        clip_spec=recognizer.clip_spec,
    )


def load_module_weights(
    module: nn.Module,
    head_name: str,
    source: str,
    *,
    sha256: str = "",
    min_match: float = MIN_MATCH,
    state_key: str = "",
    key: str,
    clip_spec: ClipSpec | None = None,
) -> LoadReport:
    """:func:`load_weights` for a bare module.

    Args:
        module: a classifier, as built.
        head_name: dotted name of its final projection.
        source, sha256, min_match, state_key: as for :func:`load_weights`.
        key: the configuration key that names the architecture, for messages.
        clip_spec: the clips that the module gets; None: their normalisation is not compared with the weights'.

    Raises:
        WeightsError: as for :func:`load_weights`.
    """
    path = fetch(source, sha256)
    checkpoint = read_checkpoint(path)
    file_weights = model_weights(checkpoint, path, state_key)
    found = match(file_weights, module, head_name)
    weights, reasons, fitting = found.converted.weights, found.reasons, set(found.fitting)
    initialised = {name: reasons.get(name, "not in the file") for name in module.state_dict() if name not in fitting}
    report = LoadReport(
        source=source,
        path=path,
        state_key=state_key or next(iter(weight_sets(checkpoint))),
        others=other_sets(checkpoint, state_key, found),
        prefix=found.converted.prefix,
        layout=found.converted.layout,
        head=found.converted.head,
        loaded=found.fitting,
        inflated=tuple(name for name in found.converted.inflated if name in fitting),
        averaged=tuple(name for name in found.converted.averaged if name in fitting),
        skipped={name: reasons.get(name, "unknown to the model") for name in weights if name not in fitting},
        initialised=initialised,
        random=_random(module, head_name, initialised),
        surplus=_surplus(file_weights, found),
        backbone_fraction=found.backbone_fraction,
        head_loaded=found.head_fits,
    )
    if not found.fitting or found.backbone_fraction < min_match:
        raise WeightsError(_does_not_fit(report, found.refused, min_match, key, match_catalogue(file_weights)))
    _check_types(report, {name: weights[name] for name in found.fitting}, module)
    if clip_spec is not None:
        _check_normalisation(report, clip_spec)
    module.load_state_dict({name: weights[name] for name in found.fitting}, strict=False)
    if report.caution and is_main_process():
        logger.warning("%s", report.caution)
    return report


def _check_types(report: LoadReport, weights: Mapping[str, Tensor], module: nn.Module) -> None:
    """Raise for numbers of another kind than the model's, which would lose what they mean when they are copied."""
    own = module.state_dict()
    for name, value in weights.items():
        if value.layout != torch.strided:
            what = "is sparse"
        elif value.is_complex():
            what = "is complex, and half of it would be lost"
        elif value.is_quantized or (own[name].is_floating_point() and not value.is_floating_point()):
            what = f"is {str(value.dtype).removeprefix('torch.')}: quantised weights mean nothing without their scales"
        else:
            continue
        raise WeightsError(
            f"{report.source!r}: {name} {what}. Nothing was loaded. Save the weights as dense floating-point numbers."
        )


def _surplus(file_weights: Mapping[str, Tensor], found: Match) -> tuple[str, ...]:
    """Names of weights that the model does not know and that differ from those that it takes in a number only."""

    def row(name: str) -> str:
        return re.sub(r"\d+", "#", name)

    weights, fitting = found.converted.weights, set(found.fitting)
    taken = {id(weights[name]) for name in fitting}
    unknown = {id(value) for name, value in weights.items() if name not in fitting and name not in found.reasons}
    rows = {row(name) for name, value in file_weights.items() if id(value) in taken}
    return tuple(
        name
        for name, value in file_weights.items()
        if id(value) in unknown and value.dim() > 0 and row(name) in rows and not name.startswith(found.other_prefixes)
    )


def _random(module: nn.Module, head_name: str, initialised: Iterable[str]) -> tuple[str, ...]:
    parameters = {name for name, _ in module.named_parameters()}
    return tuple(
        name
        for name in initialised
        if not name.startswith(f"{head_name}.")
        and (name in parameters or name.endswith((".running_mean", ".running_var")))
    )


def percent(fraction: float) -> str:
    """A fraction in percent, rounded, but never to 100 where something is missing."""
    return f"{min(fraction, 0.999) if fraction < 1 else fraction:.1%}"


def other_sets(checkpoint: Mapping[str, Any], state_key: str, found: Match) -> tuple[str, ...]:
    """The other sets of weights in a checkpoint, as ``CHECKPOINT.STATE_KEY`` takes them.

    Args:
        checkpoint: as read.
        state_key: what was taken; empty: the first of its sets.
        found: how that was read.
    """
    sets = weight_sets(checkpoint)
    taken = state_key or next(iter(sets))
    # A handful of tensors beside the weights are statistics, not a model.
    enough = sum(value.numel() for value in sets.get(taken, {}).values()) / 2
    others = [key for key in sets if key != taken and sum(value.numel() for value in sets[key].values()) >= enough]
    start = f"{taken}." if taken and not taken.endswith(".") else taken
    return *filter(None, others), *(start + prefix for prefix in found.other_prefixes if prefix)


def describe_sets(state_key: str, others: Sequence[str]) -> list[str]:
    """Describe which of a file's sets of weights was taken, and how to take another one; nothing where there is one
    only."""
    if not others:
        return []
    taken = repr(state_key) if state_key else "the names without a prefix"
    return [f"taken from {taken}; the file has others: CHECKPOINT.STATE_KEY {' or '.join(others)}"]


def describe_reading(prefix: str, layout: str, inflated: int, averaged: Sequence[str], head: str = "") -> list[str]:
    """Describe the conversion of a file's weights to the model's names, a clause for each step."""
    steps = []
    if prefix:
        steps.append(f"{prefix!r} stripped from the file's names")
    if layout:
        steps.append(f"names read as those of {layout}")
    if inflated:
        steps.append(f"{inflated} 2D kernels inflated to 3D")
    if averaged:
        steps.append(f"{', '.join(averaged)} averaged over RGB for the channels of the model")
    if head:
        steps.append(f"{head!r} read as the final projection")
    return steps


def trained_with(layout: str, clip_spec: ClipSpec) -> dict[str, list[float]]:
    """``DATA.MEAN`` and ``DATA.STD`` of weights of a layout, where they are not those of a model's clips; else nothing.

    Args:
        layout: name in KEY_LAYOUT; empty: none.
        clip_spec: of the model.
    """
    known = KEY_LAYOUT.get(layout) if layout else None
    if not isinstance(known, NormalisedLayout):
        return {}
    theirs, ours = (*known.mean, *known.std), (*clip_spec.mean, *clip_spec.std)
    if all(math.isclose(one, other, abs_tol=1e-3) for one, other in zip(theirs, ours, strict=True)):
        return {}
    return {"DATA.MEAN": list(known.mean), "DATA.STD": list(known.std)}


def _check_normalisation(report: LoadReport, clip_spec: ClipSpec) -> None:
    keys = trained_with(report.layout, clip_spec)
    if keys:
        listed = " ".join(f"{key} '{value}'" for key, value in keys.items())
        raise WeightsError(
            f"{report.source!r} has the names of {report.layout}, whose networks see pictures of another mean and "
            f"standard deviation than the model's {clip_spec.mean} and {clip_spec.std}: set {listed}."
        )


def _does_not_fit(
    report: LoadReport, refused: Sequence[str], min_match: float, key: str, catalogue: Mapping[str, Match]
) -> str:
    nearest = [
        f"{name} ({percent(found.backbone_fraction)})"
        for name, found in list(catalogue.items())[:_NEAREST]
        if found.backbone_fraction > 0
    ]
    lines = [
        f"The weights in {report.path!r} do not fit the model: {len(report.loaded)} keys match, "
        f"{percent(report.backbone_fraction)} of the backbone's parameters (at least {min_match:.0%} must, "
        f"CHECKPOINT.MIN_MATCH). Nothing was loaded. Check {key}. "
        + (f"Nearest in the catalogue: {', '.join(nearest)}." if nearest else "They fit no model of the catalogue.")
    ]
    lines += [f"  {reason}" for reason in refused]
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
