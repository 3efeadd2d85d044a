"""The evaluator of static and dynamic units: what each channel of each layer has in common over pairs of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.rows import RowArray
from pvbias.evaluation.statistics import percentile_interval
from pvbias.models import EMBEDDING, Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .correlations import KINDS, dynamic_share
from .layer_measures import FACTORS, LayerMeasures, measure_layer
from .layers import blocks

#: Videos below which a correlation over them says nothing.
_LEAST_VIDEOS = 10

#: Views of a video whose features are averaged, at most; a long video has thousands.
_VIEWS = 10


@EVALUATOR.register(name="factor_units")
class FactorUnits(Evaluator):
    """Static and dynamic units: how much of each layer, and which of its units, encodes what two clips of the same
    motion have in common, and what two clips of the same appearance do (Kowal et al., "A Deeper Dive Into What Deep
    Spatiotemporal Networks Encode: Quantifying Static vs. Dynamic Information", CVPR 2022; "Quantifying and Learning
    Static vs. Dynamic Information in Deep Spatiotemporal Networks", arXiv 2211.01783).

    ::

        video -> a pair that shares its dynamics (two stylings) and one that shares its statics (frames shuffled)
              -> mean over all positions of each channel: z_a, z_b
        rho_c = Pearson correlation of z_a and z_b over the pairs of all videos
        layer: S = mean over channels of -1/2 ln(1 - rho_c^2), nats; softmax over the two factors
        unit:  dynamic, static, joint or neither: rho_c > 0.5 over the dynamic pairs, the static ones, both, none

    A unit also has to exceed the null: 95 % of what its correlation is over mispaired clips, the first one of one video
    and the second one of another (199 mispairings). Where clips share nothing, 5 % of units do. Intervals are the
    bootstrap's over videos; those of shares of units are its spread around the share. Features are averaged over views,
    and channels that are the same in all videos are neither.

    Pairs are modulations: FACTOR_UNITS.DYNAMIC_PAIR and STATIC_PAIR. Stylings keep the shapes that move, so a channel
    that sees shapes has a dynamic correlation too, here as in the papers; pairs of made-up videos
    (``same_motion`` and ``same_appearance`` of generated data sets) share the one factor alone.

    Choices where text and released code (YorkUCVIL/Static-Dynamic-Interpretability, commit f552b31) part or say
    nothing:

    - The code's layer score is the sum over channels of covariances divided by the sum of variances over the pairs of
      both factors, so that channels count by their size; the text's is the information, taken here.
    - Its third factor, the residual, has no pairs: of ``n_factors=3`` two are drawn, and the third one's score is set
      to 1. A softmax over scores in [-1, 1] with a constant 1 among them gives static and dynamic at most a third each
      where both are at their highest, and the residual a third at least, whatever the network is. It is left out here,
      and shares are of the two factors that are measured. They are not comparable with the papers' numbers.
    - Its flags cannot be switched off: ``--app_shuffle False``, ``--fuse False`` (text, which is true) and
      ``--joint_encoding False`` (``type=bool``) are all on; ``--n_factors 3`` is text and ends in a TypeError.
    - ``if not start_frame``: a first clip from frame 0 makes the second one begin anywhere, and the pair then shares
      neither; a shuffle may be the identity; shares are cut to whole channels, the residual having the rest; a unit
      at the threshold, or without variance (NaN), is of none of the four kinds. None of these here.
    - Which of four stylings and whether a video is a dynamic or a static pair is drawn anew for each video by an
      unseeded generator; here each video is a pair of either kind, with a seed of its own.
    - rho^2 counts as 0.999 at most: a layer of a network that sees single frames is exactly the same for shuffled
      frames, and would have infinite information.

    Tables: ``layers``, a row a layer from input to output: share of the dynamic factor with its interval, and the 95 %
    that it has over mispaired clips (%), numbers of units, and how many exceed the null (%; 5 where nothing is shared);
    ``units``, a row a unit: its correlations and kind.

    Raises:
        ConfigError: a pair is not one of two modulations.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        keys = cfg.FACTOR_UNITS
        self.pairs = {"dynamic": tuple(keys.DYNAMIC_PAIR), "static": tuple(keys.STATIC_PAIR)}
        for factor, pair in self.pairs.items():
            if len(pair) != 2 or pair[0] == pair[1]:
                raise ConfigError(
                    f"FACTOR_UNITS.{factor.upper()}_PAIR = {list(pair)} must be two different modulations."
                )
        self.layers = list(keys.LAYERS) or blocks(recognizer)
        self.features = [name if name == EMBEDDING else f"mean({name})" for name in self.layers]
        modulations = tuple(dict.fromkeys((*self.pairs["dynamic"], *self.pairs["static"])))
        self.needs = Needs(modulations=modulations, features=tuple(self.features))

    def views_of_features(self, num_views: int) -> range:
        """See :meth:`Evaluator.views_of_features`: ten at most, evenly."""
        return range(0, num_views, -(-num_views // _VIEWS))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`; a row is the mean over views of each layer's channels on each modulation,
        float32 ``(M, D)`` a layer."""
        self.rows[video.index] = tuple(
            np.stack([outputs[spec].features[name].mean(0).numpy() for spec in self.needs.modulations])
            for name in self.features
        )

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        videos = len(self.rows)
        if videos < _LEAST_VIDEOS:
            return Result(
                not_applicable=f"Correlations over videos need {_LEAST_VIDEOS} videos, and {videos} are there."
            )
        kept, sizes = RowArray(self.cfg.OUTPUT_DIR), [0]
        for row in self.rows.values():
            sizes = [0, *(layer.shape[1] for layer in row)]
            kept.append(np.concatenate(row, axis=1))
        values, places = kept.array(), np.cumsum(sizes).tolist()
        clips = {spec: place for place, spec in enumerate(self.needs.modulations)}
        pairs = {factor: (clips[first], clips[second]) for factor, (first, second) in self.pairs.items()}
        measured = {
            name: measure_layer(values, channels, pairs, threshold=self.cfg.FACTOR_UNITS.THRESHOLD, **self.bootstrap)
            for name, channels in zip(self.layers, pairwise(places), strict=True)
        }
        tables = {
            "layers": [_row(depth, name, of) for depth, (name, of) in enumerate(measured.items(), start=1)],
            "units": [unit for name, of in measured.items() for unit in _units(name, of)],
        }
        return Result(figures=_figures(list(measured.values()), videos), tables=tables)


def _share(information: np.ndarray) -> np.ndarray:
    """The dynamic share, %, of information ``(2, ...)``."""
    return 100 * dynamic_share(*information)


def _row(depth: int, name: str, layer: LayerMeasures) -> dict[str, Any]:
    """The row of a layer."""
    (low, high), (least, most) = (percentile_interval(_share(of)) for of in (layer.resampled, layer.mispaired))
    above = 100 * (layer.correlations > layer.least).mean(1)
    return {
        "depth": depth,
        "layer": name,
        "channels": layer.channels,
        "constant": int(layer.constant.sum()),
        "dynamic_share": float(_share(layer.information)),
        "low": low,
        "high": high,
        "mispaired_low": least,
        "mispaired_high": most,
        **{f"{factor}_information": float(value) for factor, value in zip(FACTORS, layer.information, strict=True)},
        **{f"{kind}_units": int((layer.kinds == number).sum()) for number, kind in enumerate(KINDS)},
        **{f"{factor}_above_null": float(value) for factor, value in zip(FACTORS, above, strict=True)},
    }


def _units(name: str, layer: LayerMeasures) -> list[dict[str, Any]]:
    """The rows of a layer's units."""
    dynamic, static = layer.correlations.tolist()
    return [
        {"layer": name, "unit": unit, "dynamic": dynamic[unit], "static": static[unit], "kind": KINDS[kind]}
        for unit, kind in enumerate(layer.kinds.tolist())
    ]


def _figures(layers: Sequence[LayerMeasures], videos: int) -> list[Figure]:
    """The dynamic share, mean over layers and over the first and the last third of them, and the shares of units of
    each kind, of all layers together."""
    third = len(layers) // 3
    parts = {"dynamic_share": layers}
    if third:
        parts |= {"dynamic_share_first_third": layers[:third], "dynamic_share_last_third": layers[-third:]}
    found = []
    for name, some in parts.items():
        value = float(np.mean([_share(layer.information) for layer in some]))
        draws = np.mean([_share(layer.resampled) for layer in some], axis=0)
        note = f"mean over {len(some)} layers"
        found.append((name, value, percentile_interval(draws), note))
    units = sum(layer.channels for layer in layers)
    for number, kind in enumerate(KINDS):
        value = 100 * sum(int((layer.kinds == number).sum()) for layer in layers) / units
        draws = 100 * np.sum([layer.resampled_kinds[number] for layer in layers], axis=0) / units
        found.append((f"{kind}_units", value, _around(value, draws), f"of {units} units of all layers"))
    return [
        Figure(
            name=name,
            value=value,
            unit="%",
            level="model",
            interval=interval,
            count=videos,
            note=note,
        )
        for name, value, interval, note in found
    ]


def _around(value: float, draws: np.ndarray) -> tuple[float, float]:
    """The interval of a share of units, %: the resamples' spread, around the value.

    Correlations over resampled videos vary about their estimates, which vary about the truth: of units near a threshold
    more pass it than do of the videos themselves, and the resamples' own percentiles may leave the value out.
    """
    low, high = percentile_interval(draws - draws.mean() + value)
    return min(max(low, 0.0), value), max(min(high, 100.0), value)
