"""Accuracy on modulated clips, and the log ratio to accuracy on original ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.clips import ORIGINAL, Freeze, Reverse, Shuffle
from pvbias.evaluation import Accuracy, Figure, Result
from pvbias.evaluation.accuracy import LEVELS
from pvbias.evaluation.compared import compared_modulations
from pvbias.evaluation.statistics import log_ratio, log_ratio_figure
from pvbias.models import Recognizer
from pvbias.registries import EVALUATOR


@EVALUATOR.register(name="modulated_accuracy")
class ModulatedAccuracy(Accuracy):
    """Top-1 and top-5 on original, shuffled, reversed and frozen clips (and those of ``BIAS.MODULATIONS``), and
    ``ln(A / A_variant)`` of the top-1 accuracies.

    The log ratio for ``shuffle`` is the paper's eq. 1; that for the others is the same quantity with another
    modulation. 0 says that the modulation costs nothing: the model did not use what it destroys. Larger is less biased
    towards appearance. Where an accuracy is zero the ratio is undefined: the figure has no value, and a note. For how
    accuracy is counted see :class:`pvbias.evaluation.Accuracy`.

    Tables: ``per_class``, one row for each class that occurs and each level, with the accuracy on each variant in
    percent, the log ratio for ``shuffle``, its 95 % interval over the class's videos, and a note where something is
    undefined.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.compared = compared_modulations(cfg, Shuffle(), Reverse(), Freeze(frame=cfg.BIAS.FREEZE_FRAME))
        self.measure_on({ORIGINAL: (ORIGINAL,), **self.compared})

    def result(self, labels: np.ndarray, credits: np.ndarray, unlabelled: int) -> Result:
        """See :meth:`.Accuracy.result`."""
        result = super().result(labels, credits, unlabelled)
        if not len(labels):
            return result
        for variant in self.compared:
            for level in LEVELS:
                template = Figure(name="log_ratio", value=None, unit="log ratio", level=level, variant=variant)
                original, modulated = self._top1(credits, variant, level)
                result.figures.append(log_ratio_figure(template, original, modulated, **self.bootstrap))
        return result

    def class_row(self, label: int, level: str, credits: np.ndarray) -> dict[str, object]:
        """A row of the table ``per_class``."""
        original, shuffled = self._top1(credits, "shuffle", level)
        ratio = log_ratio(original, shuffled, **self.bootstrap)
        low, high = ratio.interval or (None, None)
        return super().class_row(label, level, credits) | {
            "log_ratio_shuffle": ratio.value,
            "log_ratio_shuffle_low": low,
            "log_ratio_shuffle_high": high,
            "note": ratio.note,
        }

    def _top1(self, credits: np.ndarray, variant: str, level: str) -> tuple[np.ndarray, np.ndarray]:
        """Credits ``(n,)`` on original and on modulated clips."""
        return self.column(credits, ORIGINAL, level, 1), self.column(credits, variant, level, 1)
