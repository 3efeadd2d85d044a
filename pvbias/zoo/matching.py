"""Matching of weights with models by names and shapes, and search of the catalogue for the best fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from torch import Tensor, nn

from ..models import ZooModel, build_shapes
from ..registries import MODEL
from .key_layouts import ConvertedWeights, adopt_head, conversions

#: Least part of the backbone that has to be there before a layer of another name is taken for its final projection.
_ENOUGH = 0.9


@dataclass(frozen=True, kw_only=True)
class Match:
    """The match of a file's weights with a model.

    Attributes:
        converted: the file's weights by the conversion that fills most of the model.
        fitting: the model's keys that it fills.
        reasons: keys that both have but that cannot be taken, with the reason.
        backbone_fraction: part of the parameters outside the head that it fills, counted one by one, [0, 1].
        head_fits: it fills the final projection, too.
        num_classes: of the file's final projection; None: it has none, or only a part of one, that belongs to the
            model's features.
        other_prefixes: of names under which the file has as much for the model, with other values.
        refused: why layouts that know the file's names do not take it for this model.
    """

    converted: ConvertedWeights
    fitting: tuple[str, ...]
    reasons: Mapping[str, str]
    backbone_fraction: float
    head_fits: bool
    num_classes: int | None
    other_prefixes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def match(weights: Mapping[str, Tensor], module: nn.Module, head_name: str) -> Match:
    """Compare a file's weights, by every possible conversion, with a model's by name and shape.

    Args:
        weights: a state dict; on the meta device where only the figures are wanted.
        module: a classifier, on any device.
        head_name: dotted name of its final projection. Half of it counts as none: that would mix two label sets.
    """
    own = module.state_dict()
    head = {name for name in own if name.startswith(head_name + ".")}
    sizes = {name: value.numel() for name, value in module.named_parameters() if name not in head}

    def compare(converted: ConvertedWeights) -> Match:
        reasons = _misfits(converted.weights, own, head)
        fitting = tuple(name for name in own if name in converted.weights and name not in reasons)
        theirs = {name: converted.weights[name] for name in head if name in converted.weights}
        alike = all(value.dim() > 0 and value.shape[1:] == own[name].shape[1:] for name, value in theirs.items())
        lengths = {len(value) for value in theirs.values()} if alike and theirs.keys() == head else set()
        classes = lengths.pop() if len(lengths) == 1 else None
        return Match(
            converted=converted,
            fitting=fitting,
            reasons=reasons,
            backbone_fraction=sum(sizes.get(name, 0) for name in fitting) / max(sum(sizes.values()), 1),
            head_fits=head <= set(fitting),
            num_classes=classes,
        )

    def rank(found: Match) -> tuple[float, int]:
        return found.backbone_fraction, len(found.fitting)

    every = [compare(converted) for converted in conversions(weights, own)]
    best = max(every, key=rank)  # the first of them: the plainest way to read the file
    others = [found.converted.prefix for found in every if rank(found) == rank(best) and _differ(found, best, weights)]
    if best.num_classes is None and best.backbone_fraction >= _ENOUGH:
        best = compare(adopt_head(best.converted, own, head_name))
    refused = dict.fromkeys(
        f"{found.converted.refused} ({found.converted.layout})" for found in every if found.converted.refused
    )
    return replace(best, other_prefixes=tuple(dict.fromkeys(others)), refused=tuple(refused))


def match_catalogue(weights: Mapping[str, Tensor], entries: Mapping[str, ZooModel] | None = None) -> dict[str, Match]:
    """:func:`match` with every model of the registry MODEL, or with ``entries``, by name, best first.

    Of models that are filled equally, those come first that take the file as it is, and last those that see other
    channels. Only names and shapes are compared:
    neither are models initialised nor values converted.
    """
    shapes = {name: value.to("meta") for name, value in weights.items()}
    every = dict(MODEL) if entries is None else entries
    found = {name: match(shapes, _shapes_of(entry), entry.head) for name, entry in every.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: _rank(found[name]))}


def equally_good(catalogue: Mapping[str, Match]) -> list[str]:
    """The models of a :func:`match_catalogue` that the weights fit as well as the best one, that one first.

    Models that differ in their clips alone (x3d_xs, x3d_s, x3d_m) share their weights.
    """
    first = next(iter(catalogue.values()), None)
    return [name for name, found in catalogue.items() if first is not None and _rank(found) == _rank(first)]


def _rank(found: Match) -> tuple[float, int, bool, bool, bool]:
    converted = found.converted
    changes = converted.averaged != (), converted.inflated != (), converted.layout != ""
    return -found.backbone_fraction, -len(found.fitting), *changes


def count_head_classes(weights: Mapping[str, Tensor], entry: ZooModel) -> int | None:
    """The number of classes of a file's weights for this model; None: its final projection is not among them."""
    shapes = {name: value.to("meta") for name, value in weights.items()}
    return match(shapes, _shapes_of(entry), entry.head).num_classes


@cache  # the whole catalogue takes seconds, and is compared with each file that does not fit
def _shapes_of(entry: ZooModel) -> nn.Module:
    return build_shapes(entry, num_classes=2)


def _differ(found: Match, other: Match, weights: Mapping[str, Tensor]) -> bool:
    """Whether two conversions take other tensors of the file for a key of the model."""
    original = {id(value) for value in weights.values()}
    pairs = (
        {id(found.converted.weights[name]), id(other.converted.weights[name])}
        for name in set(found.fitting) & set(other.fitting)
    )
    return any(len(pair) == 2 and pair <= original for pair in pairs)


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
