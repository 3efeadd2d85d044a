"""An evaluator: how sure the model is of itself, also where nothing moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode

from pvbias import Recognizer
from pvbias.clips import ORIGINAL, Freeze
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, log_probabilities_by_level
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, METRIC
from pvbias.report import Headline, Metric, Ranking


@EVALUATOR.register(name="confidence")
class Confidence(Evaluator):
    """Probability of the likeliest class in percent, mean over videos, on clips as they are and on frozen ones
    (``BIAS.FREEZE_FRAME``), with intervals over videos.

    A model that is as sure of a frozen clip as of the original did not need to see anything move. No labels needed.

    - Clip-level: of each view by itself, averaged over a video's views. Video-level: of the class probabilities
      averaged over the views.

    Tables: ``per_video``, one row for each video and level.
    """

    of_predictions = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.needs = Needs(modulations=(ORIGINAL, Freeze(frame=cfg.BIAS.FREEZE_FRAME).spec))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        # One row a video: pvbias merges the rows of several processes by the video's index.
        self.rows[video.index] = {
            (variant, level): float(log_p.exp().amax(1).mean())
            for variant in self.needs.modulations
            for level, log_p in log_probabilities_by_level(outputs[variant].logits).items()
        }

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        keys = [(variant, level) for variant in self.needs.modulations for level in LEVELS]
        templates = [
            Figure(name="confidence", value=None, unit="%", level=level, variant=variant) for variant, level in keys
        ]
        columns = np.array([[row[key] for key in keys] for row in self.rows.values()])
        table = [
            {
                "video": index,
                "level": level,
                **{variant: 100 * row[variant, level] for variant in self.needs.modulations},
            }
            for index, row in self.rows.items()
            for level in LEVELS
        ]
        return Result(figures=mean_figures(templates, columns, **self.bootstrap), tables={"per_video": table})


METRIC.register(
    Metric(
        title="confidence",
        headlines=(Headline(variant="freeze*", title="confidence, frozen"),),
        higher_is_better=False,
        ranking=Ranking(
            question="is less sure of frozen clips", answer="is least sure of frozen clips", variant="freeze*"
        ),
    ),
    name="confidence/confidence",
)
