"""The dynamic score by input modulation, and the agreement of predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS
from pvbias.evaluation.statistics import mean_intervals
from pvbias.models.recognizer import Recognizer
from pvbias.registries import EVALUATOR


@EVALUATOR.register(name="dynamic_score")
class DynamicScore(Evaluator):
    """``E[KL(f(x) || f(x~))]`` in nats for frozen and for shuffled clips x~, and the top-1 agreement in percent.

    The paper's eq. 4, with the divergence of its eq. 3, whose first argument is the prediction on the modulated clip
    and whose second, the one the expectation is under, is the prediction on the clip itself::

        L(y~, y^) = sum_i y^_i ln(y^_i / y~_i),     y^ = f(x), y~ = f(x~)

    0 says that the modulation changes nothing; there is no upper bound. No labels are needed.

    - Clip-level: the mean over a video's views, then over videos. Video-level: the divergence of the probabilities
      averaged over the views. The second is never larger, the divergence being convex.
    - Which frame a frozen clip repeats is ``BIAS.FREEZE_FRAME``.
    - Agreement: the share of clips (videos) whose most probable class stays the same.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.compared = (f"freeze_{cfg.BIAS.FREEZE_FRAME}", "shuffle")
        self.modulations = (ORIGINAL, *self.compared)

    def process(self, video: VideoViews, logits: Mapping[str, Tensor]) -> None:
        """Keeps (score, agreement) for each variant and level."""
        views = {variant: values.double().log_softmax(1) for variant, values in logits.items()}
        means = {variant: _average_probabilities(values) for variant, values in views.items()}
        row = []
        for variant in self.compared:
            for log_p, log_q in ((views[ORIGINAL], views[variant]), (means[ORIGINAL], means[variant])):
                agreement = (log_p.argmax(1) == log_q.argmax(1)).double()
                row += [float(divergence(log_p, log_q).mean()), float(agreement.mean())]
        self.rows[video.index] = row

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        columns = np.array(list(self.rows.values()))
        intervals = mean_intervals(columns, **self.bootstrap)
        keys = [
            (name, unit, scale, variant, level)
            for variant in self.compared
            for level in LEVELS
            for name, unit, scale in (("dynamic_score", "nats", 1.0), ("agreement", "%", 100.0))
        ]
        figures = [
            Figure(
                name=name,
                value=scale * float(mean),
                unit=unit,
                level=level,
                variant=variant,
                interval=None if interval is None else (scale * interval[0], scale * interval[1]),
                count=len(columns),
            )
            for (name, unit, scale, variant, level), mean, interval in zip(
                keys, columns.mean(0), intervals, strict=True
            )
        ]
        return Result(figures=figures)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p || q)`` in nats, ``(V, K), (V, K) -> (V,)``, of log-probabilities; rounding below 0 is cut off."""
    return (log_p.exp() * (log_p - log_q)).sum(1).clamp_min(0)


def _average_probabilities(log_probabilities: Tensor) -> Tensor:
    """The logarithm of the mean over views: ``(V, K) -> (1, K)``."""
    return log_probabilities.logsumexp(0, keepdim=True) - math.log(len(log_probabilities))
