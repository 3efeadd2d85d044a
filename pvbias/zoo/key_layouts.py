"""Key layouts: the names and forms under which files keep a model's weights.

::

    file's weights -> sub-batch-norm collapsed -> wrappers stripped or not -> own names, or a layout of KEY_LAYOUT
      -> 2D kernels inflated -> the first kernel averaged over RGB where the model sees other channels
      -> the only layer that is left over as the final projection

The core knows the forms that any architecture can come in. The foreign names of one architecture are a function in the
registry KEY_LAYOUT, which the architecture's plugin brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from ..registries import KEY_LAYOUT
from .inflation import average_over_rgb, inflate

#: What training code puts before a model's names: DataParallel, Lightning, SlowFast's PTV models, backbone with head.
WRAPPERS = ("module.", "model.", "backbone.", "net.")

#: What torch.compile, FSDP and activation checkpointing put anywhere into the names.
INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")

#: Part of the names that begins alike, and not as any of the model's, from which on that is taken for a wrapper.
_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class ConvertedWeights:
    """A file's weights under the model's names, by one of the possible conversions.

    Attributes:
        weights: under the names that this conversion gives.
        prefix: what was stripped from the names that had it.
        layout: name in KEY_LAYOUT; empty: the names are the file's own.
        inflated: names of the 2D kernels that were inflated to 3D.
        averaged: names of the kernels that were averaged over RGB, since the model sees other channels.
        head: name in the file of what was read as the final projection; empty: that has the model's name, or is not
            there.
        refused: why weights of this layout are none for the model; ``weights`` is then empty.
    """

    weights: Mapping[str, Tensor]
    prefix: str
    layout: str
    inflated: tuple[str, ...]
    averaged: tuple[str, ...] = ()
    head: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Refusal:
    """Result of a layout's function for weights that it knows, but that the model computes something else from.

    Attributes:
        reason: what is different.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class NormalisedLayout:
    """A KEY_LAYOUT function with the mean and std that weights of that layout were trained with.

    Attributes:
        convert: the function.
        mean, std: of RGB in [0, 1], per channel. Loading refuses a model with another one.
        sampling: name in SAMPLING; empty: as the model's own weights.
    """

    convert: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor] | Refusal | None]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sampling: str = ""

    def __call__(
        self, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor] | Refusal | None:
        return self.convert(weights, own)


def conversions(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[ConvertedWeights]:
    """All conversions of a file's weights to a model's names, the plainest first.

    Args:
        weights: the file's.
        own: the model's state dict. Values are not looked at; both may be on the meta device.
    """
    for prefix, unwrapped in _unwrapped(collapse_sub_batch_norm(_without_inner_wrappers(weights)), own):
        named = {"": unwrapped} | {name: convert(unwrapped, own) for name, convert in KEY_LAYOUT}
        for layout, renamed in named.items():
            if isinstance(renamed, Refusal):
                yield ConvertedWeights(weights={}, prefix=prefix, layout=layout, inflated=(), refused=renamed.reason)
            elif renamed is not None:
                inflated, averaged = inflate(renamed, own), average_over_rgb(renamed, own)
                yield ConvertedWeights(
                    weights={**renamed, **inflated, **averaged},
                    prefix=prefix,
                    layout=layout,
                    inflated=tuple(inflated),
                    averaged=tuple(averaged),
                )


def collapse_sub_batch_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Collapse SlowFast's SubBatchNorm3d to the BatchNorm that it is in evaluation.

    It keeps statistics of S parts of the mini-batch under ``X.split_bn``, S * C numbers each, their aggregate under
    ``X.bn``, and the affine weights under ``X``. Here ``X.running_mean`` is the mean of the parts' means, and
    ``X.running_var`` the mean of their variances plus the variance of their means.
    """
    collapsed = dict(weights)
    for name in weights:
        norm, is_split, _ = name.partition(".split_bn.running_mean")
        whole, split_variances = weights.get(f"{norm}.bn.running_mean"), weights.get(f"{norm}.split_bn.running_var")
        if not is_split or whole is None or split_variances is None or weights[name].numel() % len(whole):
            continue
        means, variances = (value.view(-1, len(whole)) for value in (weights[name], split_variances))
        collapsed[f"{norm}.running_mean"] = means.mean(0)
        collapsed[f"{norm}.running_var"] = variances.mean(0) + means.var(0, unbiased=False)
        if f"{norm}.split_bn.num_batches_tracked" in weights:
            collapsed[f"{norm}.num_batches_tracked"] = weights[f"{norm}.split_bn.num_batches_tracked"]
        for inner in weights:
            if inner.startswith((f"{norm}.bn.", f"{norm}.split_bn.")):
                del collapsed[inner]
    return collapsed


def adopt_head(converted: ConvertedWeights, own: Mapping[str, Tensor], head_name: str) -> ConvertedWeights:
    """Rename the file's final projection to the model's where it can be no other layer.

    It is the only layer that the model does not know, and has a weight ``(K, D)``, or that of a 1x1x1 convolution, for
    the model's D features, and a bias where the model has one.

    Args:
        converted: weights that have no final projection of the model's name.
        own: the model's state dict.
        head_name: dotted name of its final projection.
    """
    unknown = {name: value for name, value in converted.weights.items() if name not in own and value.numel() > 1}
    layers = {name.rpartition(".")[0] for name in unknown}
    layer = layers.pop() if len(layers) == 1 else ""
    leaves = {name.rpartition(".")[2] for name in own if name.rpartition(".")[0] == head_name}
    if (
        not layer
        or not {"weight"} <= leaves <= {"weight", "bias"}
        or unknown.keys() != {f"{layer}.{x}" for x in leaves}
    ):
        return converted
    theirs, ours = unknown[f"{layer}.weight"], own[f"{head_name}.weight"]
    if (
        theirs.dim() < 2
        or len(theirs) < 2
        or theirs[0].numel() != theirs.shape[1]
        or theirs.shape[1] != ours[0].numel()
    ):
        return converted
    if "bias" in leaves and unknown[f"{layer}.bias"].shape != theirs.shape[:1]:
        return converted
    adopted = {name: value for name, value in converted.weights.items() if name not in unknown}
    adopted |= {f"{head_name}.{leaf}": unknown[f"{layer}.{leaf}"] for leaf in leaves}
    adopted[f"{head_name}.weight"] = theirs.reshape(len(theirs), *ours.shape[1:])
    return replace(converted, weights=adopted, head=layer)


def _without_inner_wrappers(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    stripped = {}
    for name, value in weights.items():
        for wrapper in INNER_WRAPPERS:
            name = name.replace(wrapper, "")
        stripped[name] = value
    return stripped if len(stripped) == len(weights) else weights


def _unwrapped(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """The weights as (prefix, weights): as they are, then without each wrapper that some names have, however many.

    Names without the prefix stay, unless one of them would be met twice.
    """
    variants = [("", weights)]
    for prefix, variant in variants:  # grows meanwhile
        for wrapper in dict.fromkeys([*WRAPPERS, *_common_beginnings(variant, own)]):
            if not any(name.startswith(wrapper) for name in variant):
                continue
            stripped = {name.removeprefix(wrapper): value for name, value in variant.items()}
            if len(stripped) == len(variant):
                variants.append((prefix + wrapper, stripped))
    return variants


def _common_beginnings(names: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """First parts that enough names share, the most frequent first; not the model's own, unless doubled."""
    counts = Counter(first for name in names if (first := _first_part(name)) and not first[:-1].isdigit())
    ours = {_first_part(name) for name in own}
    return [
        first
        for first, count in counts.most_common()
        if count >= _SHARE * len(names) and (first not in ours or any(name.startswith(first + first) for name in names))
    ]


def _first_part(name: str) -> str:
    """``conv1.`` of ``conv1.weight``; empty where there is no dot."""
    first, dot, _ = name.partition(".")
    return first + dot if dot else ""
