"""Under which names, and in which form, a file keeps a model's weights.

::

    file's weights -> sub-batch-norm collapsed -> wrappers stripped or not -> own names, or a layout of KEY_LAYOUT
      -> 2D kernels inflated -> the first kernel averaged over RGB where the model sees other channels

The core knows the forms that any architecture can come in. The foreign names of one architecture are a function in the
registry KEY_LAYOUT, which the architecture's plugin brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..registries import KEY_LAYOUT
from .inflation import average_over_rgb, inflate

#: What training code puts before a model's names: DataParallel, Lightning, SlowFast's PTV models, backbone with head.
WRAPPERS = ("module.", "model.", "backbone.", "net.")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file's weights, read in one of the possible ways.

    Attributes:
        weights: under the names that this way gives.
        prefix: what was stripped from the names that had it.
        layout: name in KEY_LAYOUT; empty: the names are the file's own.
        inflated: names of the 2D kernels that were inflated to 3D.
        averaged: names of the kernels that were averaged over RGB, since the model sees other channels.
    """

    weights: Mapping[str, Tensor]
    prefix: str
    layout: str
    inflated: tuple[str, ...]
    averaged: tuple[str, ...] = ()


def readings(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[Reading]:
    """All ways to read a file's weights for a model, the plainest first.

    Args:
        weights: the file's.
        own: the model's state dict. Values are not looked at; both may be on the meta device.
    """
    for prefix, unwrapped in _unwrapped(collapse_sub_batch_norm(weights)):
        named = {"": unwrapped} | {name: convert(unwrapped, own) for name, convert in KEY_LAYOUT}
        for layout, renamed in named.items():
            if renamed is not None:
                inflated, averaged = inflate(renamed, own), average_over_rgb(renamed, own)
                yield Reading(
                    weights={**renamed, **inflated, **averaged},
                    prefix=prefix,
                    layout=layout,
                    inflated=tuple(inflated),
                    averaged=tuple(averaged),
                )


def collapse_sub_batch_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SlowFast's SubBatchNorm3d as the BatchNorm that it is in evaluation.

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


def _unwrapped(weights: dict[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """(prefix, weights): as they are, then without each of the WRAPPERS that some names have, however many.

    Names without the prefix stay, unless one of them would be met twice.
    """
    variants = [("", weights)]
    for prefix, variant in variants:  # grows meanwhile
        for wrapper in WRAPPERS:
            stripped = {name.removeprefix(wrapper): value for name, value in variant.items()}
            if len(stripped) == len(variant) and stripped.keys() != variant.keys():
                variants.append((prefix + wrapper, stripped))
    return variants
