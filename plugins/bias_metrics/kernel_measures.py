"""Temporality of convolution kernels: ASDT and self-convolution, from the weights alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pvbias.errors import WeightsError
from pvbias.evaluation import Evaluator, Figure, Result
from pvbias.registries import EVALUATOR

_NOT_APPLICABLE = (
    "The model has no convolution that extends over time (a Conv3d whose kernel has more than one slice): "
    "there are no temporal kernels to look at."
)


def temporal_convolutions(module: nn.Module) -> list[tuple[str, nn.Conv3d]]:
    """(dotted name, layer) of each Conv3d with temporal kernel extent > 1, in the order in which the model defines
    them.

    Layers are told by their kernels and not by their names: joint (3, 3, 3), the temporal half (3, 1, 1) of a
    factorised pair, depthwise and grouped ones, patch embeddings and the pooling convolutions of an attention layer
    are all the same here.
    """
    convolutions = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Conv3d)]
    return [(name, layer) for name, layer in convolutions if layer.kernel_size[0] > 1]


def asdt(weight: Tensor) -> float:
    """Average standard deviation over time of the kernels ``(M_out, M_in / groups, T, H, W)`` of a layer, >= 0.

    For each pair of channels and each position in the kernel, the standard deviation of its T values (divisor T, as in
    eq. 1); then the average over all of them. Eq. 1 as printed *sums* them, which grows with the layer; the text
    ("average standard deviation") and Algorithm 1 average, and so does this.
    """
    return float(weight.detach().double().std(dim=2, correction=0).mean())


def relative_asdt(weight: Tensor) -> float:
    """ASDT relative to the size of the weights: divided by the average of the root mean squares over time of the same
    kernels, so in [0, 1]. 0: all time slices are the same; 1: the slices of each kernel add up to zero.

    Kernels drawn at random have about 0.79 (three slices). Not in the paper. ASDT itself grows with the weights, and
    how far they grow depends on the length of a training and on its loss; where a normalisation layer follows, their
    size has no effect on what the network computes.
    """
    weight = weight.detach().double()
    size = weight.square().mean(dim=2).sqrt().mean()
    return asdt(weight) / float(size) if size > 0 else 0.0


def self_convolution(weight: Tensor) -> Tensor:
    """``sc(w)`` of each kernel, ``(M_out, M_in / groups, T, H, W) -> (M_out, M_in / groups)``, float64.

    Eq. 2: the sum of the products of each time slice with the next. It is printed with t up to T, but slice T has no
    next one.
    """
    slices = weight.detach().double()
    return (slices[:, :, :-1] * slices[:, :, 1:]).sum(dim=(2, 3, 4))


def temporal_kernels(weight: Tensor, delta: float = 0.0, temporal: str = "below") -> Tensor:
    """Classify kernels as temporal or static, ``(M_out, M_in / groups, T, H, W) -> (M_out, M_in / groups)``, bool.

    Args:
        weight: of a layer.
        delta: the threshold of ``sc(w)``.
        temporal: on which side of it kernels are temporal, "below" or "above"; see :class:`SelfConvolution`.
    """
    products = self_convolution(weight)
    return products > delta if temporal == "above" else products < delta


def temporal_channels(weight: Tensor, delta: float = 0.0, temporal: str = "below") -> Tensor:
    """Classify output channels as temporal or static (Algorithm 2), ``(M_out, M_in / groups, T, H, W) -> (M_out,)``,
    bool: temporal are those of whose kernels more than half are. Arguments as in :func:`temporal_kernels`."""
    kernels = temporal_kernels(weight, delta, temporal)
    return 2 * kernels.sum(1) > kernels.shape[1]


@EVALUATOR.register(name="asdt")
class Asdt(Evaluator):
    """ASDT of each layer (Algorithm 1), in units of the weights, and relative to their size; means over layers.

    0 says that all time slices of all kernels are the same: the layer averages frames. ASDT scales with the weights;
    ``relative_asdt``, in [0, 1], does not, and compares layers and trainings.

    Tables: ``layers``, in depth order.
    """

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        rows = _layer_table(
            self.recognizer.module, lambda weight: {"asdt": asdt(weight), "relative_asdt": relative_asdt(weight)}
        )
        if not rows:
            return Result(not_applicable=_NOT_APPLICABLE)
        figures = _over_layers("asdt", "weight", [row["asdt"] for row in rows])
        figures += _over_layers("relative_asdt", "of 1", [row["relative_asdt"] for row in rows])
        return Result(figures=figures, tables={"layers": rows})


@EVALUATOR.register(name="self_convolution")
class SelfConvolution(Evaluator):
    """Temporal and static channels of each layer by self-convolution (eq. 2, Algorithm 2), and the mean share over
    layers.

    A kernel is temporal where ``sc(w) < BIAS.SELF_CONVOLUTION_DELTA`` (default 0); an output channel is temporal if
    more than half of its kernels are, and static otherwise.

    The paper contradicts itself on the sign. Its text derives that identical slices give a high value and that
    discrepancy between slices gives a low or negative one; its definition after eq. 3 and its Algorithm 2 then call a
    kernel temporal where sc is *above* delta. That would make a kernel that repeats one slice, and so cannot see
    motion, the most temporal of all. The derivation decides; BIAS.SELF_CONVOLUTION_TEMPORAL "above" is the definition
    as printed. With delta 0 the two are nearly complements: a channel is neither where as many kernels lie on
    one side as on the other, or many are exactly zero.

    Tables: ``layers``, in depth order; shares in percent.
    """

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        delta, side = self.cfg.BIAS.SELF_CONVOLUTION_DELTA, self.cfg.BIAS.SELF_CONVOLUTION_TEMPORAL
        rows = _layer_table(self.recognizer.module, lambda weight: _channel_cells(weight, delta, side))
        if not rows:
            return Result(not_applicable=_NOT_APPLICABLE)
        shares = [row["temporal_share"] for row in rows]
        note = "mean over layers" + ("; temporal as the definition is printed, above delta" if side == "above" else "")
        return Result(figures=_over_layers("temporal_channels", "%", shares, note=note), tables={"layers": rows})


def _channel_cells(weight: Tensor, delta: float, side: str) -> dict[str, Any]:
    channels = len(weight)
    temporal = int(temporal_channels(weight, delta, side).sum())
    return {
        "temporal_channels": temporal,
        "static_channels": channels - temporal,
        "temporal_share": 100 * temporal / channels,
        "temporal_kernel_share": 100 * float(temporal_kernels(weight, delta, side).double().mean()),
    }


def _layer_table(module: nn.Module, measure: Callable[[Tensor], dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each layer: where and what it is, and what ``measure`` says of its weights."""
    rows = []
    for depth, (name, layer) in enumerate(temporal_convolutions(module), start=1):
        if not layer.weight.isfinite().all():
            raise WeightsError(f"The weights of the model's layer {name!r} are not all finite. Check the checkpoint.")
        cells = {
            "depth": depth,
            "layer": name,
            "kernel": "x".join(map(str, layer.kernel_size)),
            "groups": layer.groups,
            "channels": layer.out_channels,
        }
        rows.append(cells | measure(layer.weight))
    return rows


def _over_layers(name: str, unit: str, values: Sequence[float], *, note: str = "mean over layers") -> list[Figure]:
    """The mean over layers; with three layers or more, also over the first and the last third of the depth, since the
    paper's finding is that temporality falls with depth."""
    parts = {name: values}
    third = len(values) // 3
    if third:
        parts |= {f"{name}_first_third": values[:third], f"{name}_last_third": values[-third:]}
    return [
        Figure(
            name=part,
            value=float(torch.tensor(layers, dtype=torch.float64).mean()),
            unit=unit,
            level="model",
            count=len(layers),
            note=note,
        )
        for part, layers in parts.items()
    ]
