"""Top-1 and top-5 accuracy, on clips as they are and on modulated ones."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from ..clips import ORIGINAL
from ..models.outputs import Outputs
from ..models.recognizer import Recognizer
from ..needs import Needs
from ..registries import EVALUATOR
from .evaluator import Evaluator, VideoViews
from .results import Figure, Predictions, Result
from .rows import RowArray
from .statistics import mean_figures

#: The two ways to count: see :class:`pvbias.evaluation.Figure`.
LEVELS = ("clip", "video")


@dataclass(frozen=True)
class AccuracyRow:
    """The credits and predictions of one video.

    Attributes:
        name: as the annotation file writes it.
        label: class index; -1: none.
        credits: in [0, 1], one for each of ``keys`` of the evaluator; none without a label.
        predictions: float32 ``(K,)`` each, those of :class:`.Predictions`: by modulation the logarithms of the
            probabilities, and the probabilities themselves of the original clips.
    """

    name: str
    label: int
    credits: tuple[float, ...] = ()
    predictions: dict[str, np.ndarray] = field(default_factory=dict)


@EVALUATOR.register(name="accuracy")
class Accuracy(Evaluator):
    """Top-1 and top-5 accuracy in percent, clip-level and video-level, with intervals over videos, and for each class.

    - Clip-level: the share of a video's views that are right, averaged over videos. Video-level: of the class
      probabilities averaged over the views.
    - Where the label's score is tied with others, the video gets the credit that breaking the tie at random would give
      on average: a model that says the same for all classes is at chance, whatever the label's number.
    - With five classes or fewer top-5 is always right, and left out.
    - Videos without a label are left out, and counted in the notes.
    - The predictions of all videos, with a label or without, are in the result, too: on the original clips, and on
      those of ``kept``.

    Tables: ``per_class``, one row for each class that occurs and each level.
    """

    needs: Needs = Needs(modulations=(ORIGINAL,))
    of_predictions = True
    #: False where another evaluator of accuracy has the predictions in its result.
    keeps_predictions = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.ks = (1, 5) if recognizer.num_classes > 5 else (1,)
        self.measure_on({ORIGINAL: (ORIGINAL,)})

    def measure_on(self, variants: Mapping[str, Sequence[str]]) -> None:
        """Evaluate accuracy on some modulations: of each variant's figures, the specs that they are the mean over."""
        self.variants = dict(variants)
        self.keys = [(variant, level, k) for variant in variants for level in LEVELS for k in self.ks]
        self.needs = Needs(modulations=tuple(spec for specs in variants.values() for spec in specs))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        label = -1 if video.label is None else video.label
        credits = []
        for specs in self.variants.values() if label >= 0 else ():
            draws = [scores_by_level(outputs[spec].logits) for spec in specs]
            for level in LEVELS:
                for k in self.ks:
                    credit = [float(top_k_credit(scores[level], label, k).mean()) for scores in draws]
                    credits.append(sum(credit) / len(credit))
        predictions = {}
        if self.keeps_predictions:
            predictions[ORIGINAL] = outputs[ORIGINAL].logits.double().softmax(1).mean(0).float().numpy()
            for variant in self.kept:
                if variant in outputs:
                    logs = log_probabilities_by_level(outputs[variant].logits)["video"]
                    predictions[variant] = logs[0].float().numpy()
        self.rows[video.index] = AccuracyRow(video.name, label, tuple(credits), predictions)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        names: list[str] = []
        labels, credits = array("q"), array("d")
        arrays: dict[str, RowArray] = {}
        row: AccuracyRow
        for row in self.rows.values():
            labels.append(row.label)
            credits.extend(row.credits)
            if self.keeps_predictions:
                names.append(row.name)
            for variant, values in row.predictions.items():
                arrays.setdefault(variant, RowArray(self.cfg.OUTPUT_DIR)).append(values)
        predictions = None
        if arrays:
            predictions = Predictions(
                names=names,
                labels=np.array(labels, np.int64),
                probabilities=arrays.pop(ORIGINAL).array(),
                class_names=list(self.class_names),
                variants={variant: each.array() for variant, each in arrays.items()},
            )
        of_videos = np.array(labels, np.int64)
        columns = np.array(credits, np.float64).reshape(-1, len(self.keys))
        result = self.result(of_videos[of_videos >= 0], columns, int((of_videos < 0).sum()))
        result.predictions = predictions
        return result

    def result(self, labels: np.ndarray, credits: np.ndarray, unlabelled: int) -> Result:
        """The figures and tables.

        Args:
            labels: of the n videos that have one, by video index, int64 ``(n,)``.
            credits: their credits for each of m ``keys``, ``(n, m)``.
            unlabelled: how many others there are.
        """
        if not len(labels):
            return Result(not_applicable=f"None of the {unlabelled} videos has a label: there is no accuracy.")
        note = unlabelled_note(unlabelled)
        figures = [
            Figure(name=f"top{k}", value=None, unit="%", level=level, variant=variant, note=note)
            for variant, level, k in self.keys
        ]
        order = np.argsort(labels, kind="stable")  # the videos of one class after another, by video index
        classes, begins = np.unique(labels[order], return_index=True)
        table = [
            self.class_row(label, level, credits[members])
            for label, members in zip(classes.tolist(), np.split(order, begins[1:]), strict=True)
            for level in LEVELS
        ]
        return Result(figures=mean_figures(figures, credits, **self.bootstrap), tables={"per_class": table})

    def column(self, credits: np.ndarray, variant: str, level: str, k: int) -> np.ndarray:
        """Credits ``(n,)`` for one (variant, level, k), of those for all, ``(n, m)``."""
        return credits[:, self.keys.index((variant, level, k))]

    def class_row(self, label: int, level: str, credits: np.ndarray) -> dict[str, object]:
        """A row of the table ``per_class``: accuracies in percent over the videos of one class, of their credits
        ``(n, m)``."""
        cells: dict[str, object] = {
            "class": label,
            "class_name": self.class_name(label),
            "level": level,
            "videos": len(credits),
        }
        for variant in self.variants:
            for k in self.ks:
                cells[f"top{k}_{variant}"] = 100 * float(self.column(credits, variant, level, k).mean())
        return cells


def scores_by_level(logits: Tensor) -> dict[str, Tensor]:
    """Class scores at each of LEVELS, of logits ``(V, K)``: those of each view, float64 ``(V, K)``, and of all views
    together, ``(1, K)``."""
    views = logits.double()
    # Logarithms of the summed probabilities: same order, and no ties from underflow.
    return {"clip": views, "video": views.log_softmax(1).logsumexp(0, keepdim=True)}


def log_probabilities_by_level(logits: Tensor) -> dict[str, Tensor]:
    """Log-probabilities at each of LEVELS, of logits ``(V, K)``: float64 of each view, ``(V, K)``, and of the mean of
    the probabilities over views, ``(1, K)``."""
    return {level: scores.log_softmax(1) for level, scores in scores_by_level(logits).items()}


def unlabelled_note(unlabelled: int) -> str:
    """A figure's note on how many videos are left out since they have no label."""
    return f"{unlabelled} videos without a label are left out" if unlabelled else ""


def top_k_credit(scores: Tensor, label: int | Tensor, k: int) -> Tensor:
    """Top-k credit: the probability, in [0, 1], that the label is among the k best when ties are broken at random:
    ``(V, K) -> (V,)``.

    The label takes its place among ``e`` classes of equal score (itself included) at random, behind ``g`` of a higher
    one: the credit is the probability ``(k - g) / e``, cut to [0, 1], that the place is among the first k. Without
    ties that is 1 or 0.

    Args:
        label: of all rows, or of each, int64 ``(V,)``.
    """
    own = scores[torch.arange(len(scores), device=scores.device), label][:, None]
    higher = (scores > own).sum(1)
    equal = (scores == own).sum(1)
    return ((k - higher).double() / equal).clamp(0, 1)
