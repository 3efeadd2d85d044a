"""Which of the two factors a joint classifier gets wrong: the paper's Table 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, scores_by_level, unlabelled_note
from pvbias.evaluation.statistics import mean_figures
from pvbias.models.recognizer import Recognizer
from pvbias.registries import EVALUATOR

#: Between the appearance and the motion in the name of a joint class.
SEPARATOR = " + "

#: Which parts of a prediction are wrong; a class's outcome is 2 x (appearance wrong) + (motion wrong).
_RIGHT, _MOTION_WRONG, _APPEARANCE_WRONG, _BOTH_WRONG = range(4)

#: The outcomes that each figure counts.
_FIGURES = {
    "joint_accuracy": (_RIGHT,),
    "appearance_accuracy": (_RIGHT, _MOTION_WRONG),
    "motion_accuracy": (_RIGHT, _APPEARANCE_WRONG),
    "appearance_errors": (_APPEARANCE_WRONG,),
    "motion_errors": (_MOTION_WRONG,),
    "both_errors": (_BOTH_WRONG,),
}

#: Rows of a confusion table.
_PAIRS_SHOWN = 20


@dataclass(frozen=True)
class _Row:
    """One labelled video: ``shares`` ``(variants, levels, 4)`` of each outcome, and the classes predicted for it
    (video level, original clips) with the share of each."""

    label: int
    shares: np.ndarray
    predicted: dict[int, float]


@EVALUATOR.register(name="factor_errors")
class FactorErrors(Evaluator):
    """Errors of a joint classifier taken apart: of the appearance, of the motion, of both; in percent.

    For classes whose names have two parts, "brush 3 + shape 7": the appearance before the last " + ", the motion after
    it. On original clips the figures are those of the paper's Table 1 (a), on ``footprint_max`` those of (b), and
    ``motion_accuracy`` on ``reverse`` and on original clips is (c). ``shuffle`` is the control between the two: all
    frames, no order.

    - ``appearance_errors``, ``motion_errors``: that part alone is wrong; ``both_errors``: both are. With
      ``joint_accuracy`` they make 100 %.
    - ``appearance_accuracy``, ``motion_accuracy``: that part is right, whatever the other is.
    - The prediction is the joint class of the highest score. Where several have it, the video counts in parts: what
      choosing one of them at random would give on average.
    - Clip-level and video-level as in :class:`pvbias.evaluation.Accuracy`. Videos without a label are left out.

    Tables: ``motion_confusion`` and ``appearance_confusion``: which part is taken for which (video level, original
    clips), most frequent first, at most 20 rows; ``videos`` is a fraction where scores are tied.
    """

    modulations = (ORIGINAL, "reverse", "shuffle", "footprint_max")
    of_predictions = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        parts = [tuple(name.rpartition(SEPARATOR)[::2]) for name in class_names]
        self._reason = _why_not(class_names, parts, recognizer.num_classes)
        self._appearances = _numbered([appearance for appearance, _ in parts])
        self._motions = _numbered([motion for _, motion in parts])
        self._names = {"appearance": [part for part, _ in parts], "motion": [part for _, part in parts]}

    def process(self, video: VideoViews, logits: Mapping[str, Tensor]) -> None:
        """See :meth:`Evaluator.process`."""
        if video.label is None or self._reason:
            self.rows[video.index] = None
            return
        wrong_appearance = self._appearances != self._appearances[video.label]
        wrong_motion = self._motions != self._motions[video.label]
        outcomes = torch.nn.functional.one_hot(2 * wrong_appearance + wrong_motion, 4).double()  # (K, 4)
        shares, predicted = [], {}
        for variant in self.modulations:
            predictions = {level: _predicted(scores) for level, scores in scores_by_level(logits[variant]).items()}
            shares.append([(predictions[level] @ outcomes).mean(0).tolist() for level in LEVELS])
            if variant == ORIGINAL:
                share_of_class = predictions["video"][0]
                predicted = {int(k): float(share_of_class[k]) for k in share_of_class.nonzero()[:, 0]}
        self.rows[video.index] = _Row(video.label, np.array(shares), predicted)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        rows: list[_Row] = [row for row in self.rows.values() if row is not None]
        if self._reason or not rows:
            return Result(not_applicable=self._reason or f"None of the {len(self.rows)} videos has a label.")
        shares = np.stack([row.shares for row in rows])  # (videos, variants, levels, 4)
        note = unlabelled_note(self.rows)
        figures, columns = [], []
        for name, counted in _FIGURES.items():
            for number, variant in enumerate(self.modulations):
                for place, level in enumerate(LEVELS):
                    figures.append(Figure(name=name, value=None, unit="%", level=level, variant=variant, note=note))
                    columns.append(shares[:, number, place, list(counted)].sum(-1))
        tables = {f"{factor}_confusion": _confusion(rows, names) for factor, names in self._names.items()}
        return Result(figures=mean_figures(figures, np.stack(columns, axis=1), **self.bootstrap), tables=tables)


def _why_not(class_names: Sequence[str], parts: Sequence[tuple[str, ...]], num_classes: int) -> str:
    """Why classes cannot be taken apart; empty where they can."""
    if not class_names:
        return "The classes have no names, so there is no telling their appearance from their motion."
    single = next((name for name, part in zip(class_names, parts, strict=True) if not all(part)), None)
    if single is not None:
        return (
            f"The class {single!r} is not one of appearance and motion: names of joint classes have two parts, "
            "as in 'brush 3 + shape 7'."
        )
    if len(class_names) != num_classes:
        return f"The model tells {num_classes} classes apart, and {len(class_names)} have names."
    return ""


def _numbered(parts: Sequence[str]) -> Tensor:
    """The same number for the same text: ``(K,)``."""
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    return torch.tensor([numbers[part] for part in parts], dtype=torch.long)


def _predicted(scores: Tensor) -> Tensor:
    """The share of each class in the prediction, ``(V, K) -> (V, K)``: 1 for the best, or an equal part for each of
    those that share the first place."""
    best = (scores == scores.amax(1, keepdim=True)).double()
    return best / best.sum(1, keepdim=True)


def _confusion(rows: Sequence[_Row], names: Sequence[str]) -> list[dict[str, object]]:
    """The most frequent pairs of (true, predicted) part that differ. ``names``: the part's, by joint class."""
    counts: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        for predicted, share in row.predicted.items():
            if names[predicted] != names[row.label]:
                counts[names[row.label], names[predicted]] += share
    # Equal counts in the order of classes.
    place = {name: number for number, name in enumerate(dict.fromkeys(names))}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], place[item[0][0]], place[item[0][1]]))
    return [
        {"true": true, "predicted": predicted, "videos": count} for (true, predicted), count in ordered[:_PAIRS_SHOWN]
    ]
