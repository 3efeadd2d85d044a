"""The dynamic score by input modulation, and the agreement of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.clips import ORIGINAL, Freeze, Shuffle
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, log_probabilities_by_level
from pvbias.evaluation.compared import compared_modulations
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .metrics import agreement, dynamic_score


@EVALUATOR.register(name="dynamic_score")
class DynamicScore(Evaluator):
    """``E[KL(f(x) || f(x~))]`` in nats for frozen and shuffled clips x~ (and those of ``BIAS.MODULATIONS``), and the
    top-1 agreement in percent.

    The paper's eq. 4, with the divergence of its eq. 3, whose first argument is the prediction on the modulated clip
    and whose second, the one the expectation is under, is the prediction on the clip itself::

        L(y~, y^) = sum_i y^_i ln(y^_i / y~_i),     y^ = f(x), y~ = f(x~)

    0 says that the modulation changes nothing; there is no upper bound. No labels are needed.

    - Clip-level: the mean over a video's views, then over videos. Video-level: the divergence of the probabilities
      averaged over the views. The second is never larger, the divergence being convex.
    - Which frame a frozen clip repeats is ``BIAS.FREEZE_FRAME``; if it is a random one, the expectation is over
      ``BIAS.FREEZE_DRAWS`` frames of each clip, too.
    - Agreement: the share of clips (videos) whose most probable class stays the same.
    """

    of_predictions = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.compared = compared_modulations(cfg, Freeze(frame=cfg.BIAS.FREEZE_FRAME), Shuffle())
        self.needs = Needs(modulations=(ORIGINAL, *(spec for specs in self.compared.values() for spec in specs)))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps (score, agreement) for each variant and level."""
        p = log_probabilities_by_level(outputs[ORIGINAL].logits)
        row: list[float] = []
        for specs in self.compared.values():
            draws = [log_probabilities_by_level(outputs[spec].logits) for spec in specs]
            for level in LEVELS:
                for measure in (dynamic_score, agreement):
                    row.append(float(np.mean([float(measure(p[level], q[level])) for q in draws])))
        self.rows[video.index] = row

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        figures = [
            Figure(name=name, value=None, unit=unit, level=level, variant=variant)
            for variant in self.compared
            for level in LEVELS
            for name, unit in (("dynamic_score", "nats"), ("agreement", "%"))
        ]
        columns = np.fromiter(self.rows.values(), np.dtype((np.float64, len(figures))), len(self.rows))
        return Result(figures=mean_figures(figures, columns, **self.bootstrap))
