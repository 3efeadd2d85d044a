"""The evaluator of time in attention: how far it reaches, and what temporal positions are worth to the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.divergence import divergence
from pvbias.evaluation.statistics import mean_figures, mean_intervals
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .layouts import attention_modules
from .positions import has_temporal_positions

_SHUFFLED = "shuffled_positions()"

_NOT_APPLICABLE = (
    "The model has no attention over time of a kind that is known here (MViT and Swin3D of torchvision, MViT of "
    "PyTorchVideo, TimeSformer's divided one, ViViT, VideoMAE and V-JEPA 2 of transformers)."
)


@EVALUATOR.register(name="attention_extent")
class AttentionExtent(Evaluator):
    """How far attention reaches in time, and what temporal position embeddings are worth to the network.

    ::

        extent of a head: mean over queries of sum_k a_k |t_k - t| / sum_k a_k, over keys that are positions, in frames
        relative extent: divided by that of uniform attention over the keys that a query sees
        position shift: KL(p || p'), p' with the temporal position embeddings permuted (nats)

    The moment of a token is the middle of the frames of the clip that it stands for. A relative extent of 1 is that of
    attention that does not look at time; 0, of attention that stays at its moment. Weights are those of the network's
    own call (:mod:`.weights`). Means over views, and over a layer's heads, with the bootstrap's intervals over videos.

    The embeddings are permuted for all clips alike, absolute ones moment by moment, relative ones distance by
    distance; V-JEPA 2's rotary ones are no embeddings, and its position shift is left out.

    Tables: ``layers``, a row a layer from input to output; ``heads``, a row a head.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.layers = attention_modules(recognizer)
        self.has_positions = bool(self.layers) and has_temporal_positions(recognizer.module)
        features = [f"attention_extent({name})" for name in self.layers] + [_SHUFFLED] * self.has_positions
        self.needs = Needs(modulations=(ORIGINAL,), features=tuple(features)) if self.layers else Needs()

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`; a row is the mean over views of each layer's extents ``(H, 2)``, and of the
        position shift and the agreement ``(2,)``."""
        given = outputs[ORIGINAL]
        extents = tuple(given.features[f"attention_extent({name})"].mean(0).numpy() for name in self.layers)
        positions = _shift(given.logits, given.features[_SHUFFLED]) if self.has_positions else np.zeros(0)
        self.rows[video.index] = (extents, positions)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        if not self.layers:
            return Result(not_applicable=_NOT_APPLICABLE)
        if not len(self.rows):
            return Result(not_applicable="There is no video to look at.")
        heads = [len(extents) for extents in next(iter(self.rows.values()))[0]]
        # Of all layers, side by side: (n, sum of H, 2)
        extents = np.stack([np.concatenate(each) for each, _ in self.rows.values()]).astype(np.float64)
        places = np.cumsum([0, *heads])
        # Of uniform attention 0: the layer sees one moment only.
        of_layers = np.stack([extents[:, places[i] : places[i + 1]].mean(1) for i in range(len(heads))], 1)
        relative = of_layers[:, :, 0] / np.where(of_layers[:, :, 1] > 0, of_layers[:, :, 1], np.nan)
        if np.isnan(relative).all():
            return Result(not_applicable="The attention of each layer sees a single moment: there is no time in it.")
        figures = self._figures(relative)
        tables = {"layers": self._layer_rows(of_layers, relative, heads), "heads": self._head_rows(extents, heads)}
        return Result(figures=figures, tables=tables)

    def _figures(self, relative: np.ndarray) -> list[Figure]:
        reaching = relative[:, ~np.isnan(relative[0])]
        third = reaching.shape[1] // 3
        parts = {"relative_extent": reaching}
        if third:
            parts |= {
                "relative_extent_first_third": reaching[:, :third],
                "relative_extent_last_third": reaching[:, -third:],
            }
        templates = [
            Figure(name=name, value=None, unit="of 1", level="clip", note=f"mean over {part.shape[1]} layers")
            for name, part in parts.items()
        ]
        columns = [part.mean(1) for part in parts.values()]
        if self.has_positions:
            templates += [
                Figure(name="position_shift", value=None, unit="nats", level="clip"),
                Figure(name="position_agreement", value=None, unit="%", level="clip"),
            ]
            columns += list(np.stack([positions for _, positions in self.rows.values()], axis=1))
        return mean_figures(templates, np.stack(columns, axis=1), **self.bootstrap)

    def _layer_rows(self, of_layers: np.ndarray, relative: np.ndarray, heads: Sequence[int]) -> list[dict[str, Any]]:
        intervals = mean_intervals(np.nan_to_num(relative), **self.bootstrap)
        rows = []
        for depth, (name, size, interval) in enumerate(zip(self.layers, heads, intervals, strict=True), start=1):
            extent, uniform = of_layers[:, depth - 1].mean(0).tolist()
            reaches = uniform > 0
            low, high = interval if interval is not None and reaches else (None, None)
            rows.append(
                {
                    "depth": depth,
                    "layer": name,
                    "heads": size,
                    "extent": extent,
                    "uniform": uniform,
                    "relative_extent": extent / uniform if reaches else None,
                    "low": low,
                    "high": high,
                }
            )
        return rows

    def _head_rows(self, extents: np.ndarray, heads: Sequence[int]) -> list[dict[str, Any]]:
        means = iter(extents.mean(0).tolist())
        return [
            {"layer": name, "head": head, "extent": extent, "uniform": uniform}
            for name, size in zip(self.layers, heads, strict=True)
            for head, (extent, uniform) in zip(range(size), means)  # noqa: B905 (the rest is the next layer's)
        ]


def _shift(logits: Tensor, shuffled: Tensor) -> np.ndarray:
    """KL divergence (nats) of the answers with shuffled positions from the network's own, and the share of views of
    which both name the same class first: means over views, ``(2,)``."""
    own, other = (values.double().log_softmax(1) for values in (logits, shuffled))
    agreement = (own.argmax(1) == other.argmax(1)).double().mean()
    return np.array([float(divergence(own, other).mean()), float(agreement)])
