"""Top-1 and top-5 accuracy, on clips as they are and on modulated ones."""

from __future__ import annotations

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
from .statistics import mean_figures

#: The two ways to count: see :class:`pvbias.evaluation.Figure`.
LEVELS = ("clip", "video")


@dataclass(frozen=True)
class AccuracyRow:
    """The credits of one video.

    Attributes:
        name: as the annotation file writes it.
        label: class index; -1: none.
        probabilities: float32 ``(K,)``, mean over the views of the original clips.
        credits: in [0, 1], by (variant, level, k); none without a label.
        variants: log-probabilities, float32 ``(K,)``, of the mean over the views of modulated clips, by modulation.
    """

    name: str
    label: int
    probabilities: np.ndarray
    credits: dict[tuple[str, str, int], float]
    variants: dict[str, np.ndarray] = field(default_factory=dict)


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

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.ks = (1, 5) if recognizer.num_classes > 5 else (1,)
        self.measure_on({ORIGINAL: (ORIGINAL,)})

    def measure_on(self, variants: Mapping[str, Sequence[str]]) -> None:
        """Evaluate accuracy on some modulations: of each variant's figures, the specs that they are the mean over."""
        self.variants = dict(variants)
        self.needs = Needs(modulations=tuple(spec for specs in variants.values() for spec in specs))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        label = -1 if video.label is None else video.label
        credits = {}
        for variant, specs in self.variants.items() if label >= 0 else ():
            draws = [scores_by_level(outputs[spec].logits) for spec in specs]
            for level in LEVELS:
                for k in self.ks:
                    credit = [float(top_k_credit(scores[level], label, k).mean()) for scores in draws]
                    credits[variant, level, k] = sum(credit) / len(credit)
        probabilities = outputs[ORIGINAL].logits.double().softmax(1).mean(0).float().numpy()
        variants = {
            variant: log_probabilities_by_level(outputs[variant].logits)["video"][0].float().numpy()
            for variant in self.kept
            if variant in outputs
        }
        self.rows[video.index] = AccuracyRow(video.name, label, probabilities, credits, variants)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        rows = self.labelled()
        predictions = self.predictions()
        if not rows:
            return Result(
                predictions=predictions,
                not_applicable=f"None of the {len(self.rows)} videos has a label: there is no accuracy.",
            )
        keys = [(variant, level, k) for variant in self.variants for level in LEVELS for k in self.ks]
        note = unlabelled_note({index: row.credits or None for index, row in self.rows.items()})
        figures = [
            Figure(name=f"top{k}", value=None, unit="%", level=level, variant=variant, note=note)
            for variant, level, k in keys
        ]
        table = [self.class_row(label, level, members) for label, members in self.by_class(rows) for level in LEVELS]
        return Result(
            figures=mean_figures(figures, self.columns(rows, keys), **self.bootstrap),
            tables={"per_class": table},
            predictions=predictions,
        )

    def labelled(self) -> list[AccuracyRow]:
        """The rows of the videos that have a label, by video index."""
        return [row for row in self.rows.values() if row.label >= 0]

    def predictions(self) -> Predictions:
        """The predictions for all videos, by video index."""
        rows: list[AccuracyRow] = list(self.rows.values())
        return Predictions(
            names=[row.name for row in rows],
            labels=np.array([row.label for row in rows], np.int64),
            probabilities=np.stack([row.probabilities for row in rows]),
            class_names=list(self.class_names),
            variants={variant: np.stack([row.variants[variant] for row in rows]) for variant in rows[0].variants},
        )

    @staticmethod
    def columns(rows: Sequence[AccuracyRow], keys: Sequence[tuple[str, str, int]]) -> np.ndarray:
        """Credits ``(n, m)`` of n videos for m (variant, level, k)."""
        return np.array([[row.credits[key] for key in keys] for row in rows])

    @staticmethod
    def by_class(rows: Sequence[AccuracyRow]) -> list[tuple[int, list[AccuracyRow]]]:
        """The videos of each label as (label, videos), in label order."""
        classes: dict[int, list[AccuracyRow]] = {}
        for row in rows:
            classes.setdefault(row.label, []).append(row)
        return sorted(classes.items())

    def class_row(self, label: int, level: str, rows: Sequence[AccuracyRow]) -> dict[str, object]:
        """A row of the table ``per_class``: accuracies in percent over the videos of one class."""
        cells: dict[str, object] = {
            "class": label,
            "class_name": self.class_name(label),
            "level": level,
            "videos": len(rows),
        }
        for variant in self.variants:
            for k in self.ks:
                cells[f"top{k}_{variant}"] = 100 * float(self.columns(rows, [(variant, level, k)]).mean())
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


def unlabelled_note(rows: Mapping[int, object | None]) -> str:
    """A figure's note on how many videos are left out since they have no label (a row that is None)."""
    unlabelled = sum(row is None for row in rows.values())
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
