"""Errors of a joint classifier by factor, appearance or motion (temporality study, Table 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.data.attributes import Attribute
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, scores_by_level, unlabelled_note
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

#: The factors: attributes of the videos.
FACTORS = ("appearance", "motion")
#: Between the appearance and the motion in the name of a joint class.
SEPARATOR = " + "

#: The appearance and the motion of a class.
_Parts = tuple[Attribute, ...]

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
    """The predictions of one labelled video.

    Attributes:
        label: class index.
        parts: its factors; empty where its record does not say.
        predicted: by variant and level: the classes that are predicted, and for how many of the views (at video level:
            of one), which are fractions where scores are tied.
    """

    label: int
    parts: _Parts
    predicted: list[list[dict[int, float]]]


@EVALUATOR.register(name="factor_errors")
class FactorErrors(Evaluator):
    """Errors of a joint classifier taken apart: of the appearance, of the motion, of both; in percent.

    What the appearance and the motion of a class are, its videos' attributes ``appearance`` and ``motion`` say, where
    the measured videos have them for all classes; else names of two parts, "brush 3 + shape 7": the appearance before
    the last " + ", the motion after it. On original clips the figures are those of the paper's Table 1 (a), on
    ``footprint_max`` those of (b), and ``motion_accuracy`` on ``reverse`` and on original clips is (c). ``shuffle`` is
    the control between the two: all frames, no order.

    - ``appearance_errors``, ``motion_errors``: that part alone is wrong; ``both_errors``: both are. With
      ``joint_accuracy`` they make 100 %.
    - ``appearance_accuracy``, ``motion_accuracy``: that part is right, whatever the other is.
    - The prediction is the joint class of the highest score. Where several have it, the video counts in parts: what
      choosing one of them at random would give on average.
    - Clip-level and video-level as in :class:`pvbias.evaluation.Accuracy`. Videos without a label are left out.

    Tables: ``motion_confusion`` and ``appearance_confusion``: which part is taken for which (video level, original
    clips), most frequent first, at most 20 rows; ``videos`` is a fraction where scores are tied.
    """

    needs = Needs(modulations=(ORIGINAL, "reverse", "shuffle", "footprint_max"))
    of_predictions = True

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        if video.label is None:
            self.rows[video.index] = None
            return
        predicted = []
        for variant in self.needs.modulations:
            scores = scores_by_level(outputs[variant].logits)
            predicted.append([_predicted(scores[level]) for level in LEVELS])
        parts = tuple(video.attributes[factor] for factor in FACTORS if factor in video.attributes)
        self.rows[video.index] = _Row(video.label, parts, predicted)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        rows: list[_Row] = [row for row in self.rows.values() if row is not None]
        if not rows:
            return Result(not_applicable=f"None of the {len(self.rows)} videos has a label.")
        classes = self.recognizer.num_classes
        parts, reason = _parts_by_attributes(rows, classes), ""
        if not parts:
            parts, reason = _parts_by_name(self.class_names, classes)
        if reason:
            return Result(not_applicable=reason)
        shares = np.stack([_shares(row, parts) for row in rows])  # (videos, variants, levels, 4)
        note = unlabelled_note(len(self.rows) - len(rows))
        figures, columns = [], []
        for name, counted in _FIGURES.items():
            for number, variant in enumerate(self.needs.modulations):
                for place, level in enumerate(LEVELS):
                    figures.append(Figure(name=name, value=None, unit="%", level=level, variant=variant, note=note))
                    columns.append(shares[:, number, place, list(counted)].sum(-1))
        predicted = [row.predicted[self.needs.modulations.index(ORIGINAL)][LEVELS.index("video")] for row in rows]
        tables = {
            f"{factor}_confusion": _confusion([row.label for row in rows], predicted, [part[place] for part in parts])
            for place, factor in enumerate(FACTORS)
        }
        return Result(figures=mean_figures(figures, np.stack(columns, axis=1), **self.bootstrap), tables=tables)


def _parts_by_attributes(rows: Sequence[_Row], num_classes: int) -> list[_Parts]:
    """The parts of each class, as its videos have them; empty where those of a class are not known, or not the same in
    all its videos."""
    found: dict[int, _Parts] = {}
    for row in rows:
        if len(row.parts) < len(FACTORS) or found.setdefault(row.label, row.parts) != row.parts:
            return []
    return [found[label] for label in range(num_classes)] if len(found) == num_classes else []


def _parts_by_name(class_names: Sequence[str], num_classes: int) -> tuple[list[_Parts], str]:
    """The parts of each class, as its name has them, and, where there are none, why."""
    parts: list[_Parts] = [name.rpartition(SEPARATOR)[::2] for name in class_names]
    if not class_names:
        return [], (
            "The classes have no names, so there is no telling their appearance from their motion; nor do the videos "
            "have the attributes 'appearance' and 'motion', the same in all videos of a class, for each class."
        )
    single = next((name for name, part in zip(class_names, parts, strict=True) if not all(part)), None)
    if single is not None:
        return [], (
            f"The class {single!r} is not one of appearance and motion: names of joint classes have two parts, "
            "as in 'brush 3 + shape 7'."
        )
    if len(class_names) != num_classes:
        return [], f"The model tells {num_classes} classes apart, and {len(class_names)} have names."
    return parts, ""


def _predicted(scores: Tensor) -> dict[int, float]:
    """Count the views for which each class is the prediction, of scores ``(V, K)``: a view counts in equal parts for
    the classes that share its first place."""
    best = (scores == scores.amax(1, keepdim=True)).double()
    shares = (best / best.sum(1, keepdim=True)).sum(0)
    return {int(k): float(shares[k]) for k in shares.nonzero()[:, 0]}


def _shares(row: _Row, parts: Sequence[_Parts]) -> np.ndarray:
    """``(variants, levels, 4)``: the share of each outcome."""
    appearance, motion = parts[row.label]
    shares = np.zeros((len(row.predicted), len(LEVELS), 4))
    for variant, levels in enumerate(row.predicted):
        for level, predicted in enumerate(levels):
            for label, views in predicted.items():
                outcome = 2 * (parts[label][0] != appearance) + (parts[label][1] != motion)
                shares[variant, level, outcome] += views
    return shares / shares.sum(-1, keepdims=True)


def _confusion(
    labels: Sequence[int], predicted: Sequence[Mapping[int, float]], parts: Sequence[Attribute]
) -> list[dict[str, object]]:
    """The most frequent pairs of (true, predicted) part that differ.

    Args:
        labels: of the videos.
        predicted: classes, with the share of each, for each video.
        parts: by class.
    """
    counts: defaultdict[tuple[Attribute, Attribute], float] = defaultdict(float)
    for label, shares in zip(labels, predicted, strict=True):
        for other, share in shares.items():
            if parts[other] != parts[label]:
                counts[parts[label], parts[other]] += share
    # Equal counts in the order of classes.
    place = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], place[item[0][0]], place[item[0][1]]))
    return [
        {"true": true, "predicted": predicted, "videos": count} for (true, predicted), count in ordered[:_PAIRS_SHOWN]
    ]
