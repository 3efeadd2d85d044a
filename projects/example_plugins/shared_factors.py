"""How much of an embedding a factor of the videos accounts for: correlation over pairs of videos that share it.

P. Esser et al., *A Disentangling Invertible Interpretation Network for Explaining Latent Representations*, CVPR 2020,
https://arxiv.org/abs/2004.13166 (the correlation over pairs); for static and dynamic factors of videos:
M. Kowal et al., *A Deeper Dive Into What Deep Spatiotemporal Networks Encode*, CVPR 2022,
https://arxiv.org/abs/2206.02846.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.clips import ORIGINAL
from pvbias.config.keys import declare
from pvbias.data.attributes import Attribute
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.statistics import percentile_interval, resampled_means
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, METRIC
from pvbias.report import Headline, Metric


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's key."""
    declare(
        cfg,
        "SHARED_FACTORS.ATTRIBUTES",
        ["appearance", "motion"],
        "Attributes of the test videos, two or more: pairs of videos share one of them and differ in all others.",
    )


@EVALUATOR.register(name="shared_factors")
class SharedFactors(Evaluator):
    """Correlation of the embeddings of two videos that share one factor and differ in all others, for each factor.

    ``pair_correlation``: of each dimension of the embedding (averaged over a video's views), the intraclass correlation
    over pairs; then the mean over the dimensions, those that are the same for all videos left out. 1: who knows the
    factor knows the embedding. 0: the factor leaves no trace. ``stronger``: the share of the dimensions whose
    correlation is greater for this factor than for all others (of equals, each has its part).

    The factors are the figures' variants. No video is in two pairs of a factor: pairs are drawn (seeded) until no two
    videos are left that make one. Intervals: bootstrap over the pairs. Videos that lack one of the attributes are left
    out.

    Raises:
        ConfigError: fewer than two attributes.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.factors = tuple(cfg.SHARED_FACTORS.ATTRIBUTES)
        if len(set(self.factors)) < 2:
            raise ConfigError(f"SHARED_FACTORS.ATTRIBUTES = {list(self.factors)} has to name two attributes or more.")
        self.needs = Needs(modulations=(ORIGINAL,), features=("embedding",), attributes=self.factors)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the factors and the embedding."""
        if all(factor in video.attributes for factor in self.factors):
            embedding = outputs[ORIGINAL].features["embedding"].mean(0).numpy()
            self.rows[video.index] = [video.attributes[factor] for factor in self.factors], embedding

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        factors = [row[0] for row in self.rows.values()]
        pairs = [disjoint_pairs(factors, number, self.cfg.RNG_SEED) for number in range(len(self.factors))]
        few = [name for name, of_factor in zip(self.factors, pairs, strict=True) if len(of_factor) < 2]
        if few:
            return Result(not_applicable=f"Fewer than two pairs of videos share {few[0]} and differ in all others.")
        embeddings = np.stack([row[1] for row in self.rows.values()]).astype(np.float64)
        embeddings = embeddings[:, np.ptp(embeddings, axis=0) > 0]
        if not embeddings.size:
            return Result(not_applicable="The embedding is the same for all videos.")
        samples = self.bootstrap
        sums = [sums_of_pairs(*embeddings[of_factor].transpose(1, 0, 2)) for of_factor in pairs]
        values = np.stack([intraclass_correlation(of_factor.mean(0, keepdims=True)) for of_factor in sums])
        draws = np.stack([intraclass_correlation(resampled_means(of_factor, **samples)) for of_factor in sums])
        figures = []
        for name, unit, value, draw in (
            ("pair_correlation", "correlation", values.mean(2), draws.mean(2)),
            ("stronger", "% of dimensions", 100 * strongest(values), 100 * strongest(draws)),
        ):
            figures += [
                Figure(
                    name=name,
                    value=float(value[number, 0]),
                    unit=unit,
                    level="video",
                    variant=factor,
                    interval=percentile_interval(draw[number]),
                    count=len(pairs[number]),
                    note=f"over pairs of videos that share {factor} and differ in all other factors",
                )
                for number, factor in enumerate(self.factors)
            ]
        return Result(figures=figures)


def disjoint_pairs(factors: Sequence[Sequence[Attribute]], shared: int, seed: int) -> np.ndarray:
    """Pairs of videos that have factor ``shared`` in common and no other, each video in one at most: int ``(P, 2)``,
    indices into ``factors``."""
    alone: dict[Attribute, list[int]] = {}
    pairs = []
    for index in np.random.default_rng([seed, shared]).permutation(len(factors)).tolist():
        own = factors[index]
        waiting = alone.setdefault(own[shared], [])
        for place, other in enumerate(waiting):
            common = [number for number, (a, b) in enumerate(zip(own, factors[other], strict=True)) if a == b]
            if common == [shared]:
                pairs.append((waiting.pop(place), index))
                break
        else:
            waiting.append(index)
    return np.array(pairs, dtype=int).reshape(-1, 2)


def sums_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of P pairs of embeddings ``(P, D)`` what the correlation takes the means of: ``(P, 3 D)``."""
    return np.concatenate([(a + b) / 2, (a**2 + b**2) / 2, a * b], axis=1)


def intraclass_correlation(means: np.ndarray) -> np.ndarray:
    """``Cov(a, b) / Var`` with the mean and the variance of all members of pairs (Fisher), which does not depend on who
    of a pair is a: ``(B, 3 D)`` of :func:`sums_of_pairs` -> ``(B, D)``; 0 where the variance is."""
    mean, square, product = np.split(means, 3, axis=1)
    variance = square - mean**2
    tiny = variance <= 1e-12 * square  # rounding
    return np.where(tiny, 0.0, (product - mean**2) / np.where(tiny, 1.0, variance))


def strongest(correlations: np.ndarray) -> np.ndarray:
    """Of F factors' correlations ``(F, B, D)`` the share of the dimensions whose greatest is each factor's:
    ``(F, B)``."""
    greatest = correlations == correlations.max(0)
    return (greatest / greatest.sum(0)).mean(2)


METRIC.register(
    Metric(
        title="correlation over pairs",
        headlines=tuple(
            Headline(variant=factor, title=f"correlation, same {factor}") for factor in ("appearance", "motion")
        ),
    ),
    name="shared_factors/pair_correlation",
)
