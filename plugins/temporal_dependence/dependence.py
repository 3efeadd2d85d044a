"""Accuracy and predictions as functions of a clip's timing, and the temporal extent."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL, Reverse
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import (
    LEVELS,
    log_probabilities_by_level,
    scores_by_level,
    top_k_credit,
    unlabelled_note,
)
from pvbias.evaluation.divergence import divergence
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .classes import class_changes
from .curves import curve_points
from .extent import temporal_extent
from .rearrangements import Cut

#: Columns of a row for each modulation: of each level.
_MEASURES = ("top1", "divergence")


@EVALUATOR.register(name="temporal_dependence")
class TemporalDependence(Evaluator):
    """How accuracy and predictions depend on a clip's timing: on the length within which the order of frames is kept
    (or lost), the stride, the number of frames, dropped and doubled frames, playing speed and direction.

    Each of ``BIAS.TEMPORAL_CURVES`` is a row of modulations (:mod:`.curves`), all of which rearrange frames: what a
    network makes of single frames is computed once for all of them.

    - ``top1`` (%): accuracy. ``divergence`` (nats): KL of the prediction from that on the original clip, the dynamic
      score of eq. 4 of the dynamic-score paper for this modulation. Clip-level and video-level.
    - ``class_score`` (logits): how far the original clip's first choice falls, against the mean of all classes, on
      clips that are cut into segments; of each view by itself.
    - ``extent`` (frames): temporal extent (:func:`.extent.temporal_extent`), of the class scores.

    Tables: ``curves``, the points of each curve; ``classes``, what each class gains and loses when the order of frames
    is lost and when clips are played backwards (:func:`.classes.class_changes`), at video level.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.points = curve_points(cfg.DATA.NUM_FRAMES, cfg.BIAS.TEMPORAL_CURVES) if cfg.DATA.NUM_FRAMES > 1 else []
        self.specs = tuple(dict.fromkeys([ORIGINAL] * bool(self.points) + [point.spec for point in self.points]))
        self.cuts = {
            point.spec: int(point.at) for point in self.points if point.curve == "cut" and point.spec != ORIGINAL
        }
        self.columns = [(spec, level, name) for spec in self.specs for level in LEVELS for name in _MEASURES]
        self.needs = Needs(modulations=self.specs)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the label (-1: none), and the values of all columns."""
        label = -1 if video.label is None else video.label
        original = log_probabilities_by_level(outputs[ORIGINAL].logits)
        values = []
        for spec in self.specs:
            logits = outputs[spec].logits
            scores, changed = scores_by_level(logits), log_probabilities_by_level(logits)
            for level in LEVELS:
                credit = float(top_k_credit(scores[level], label, 1).mean()) if label >= 0 else float("nan")
                values += [credit, float(divergence(original[level], changed[level]).mean())]
        first = outputs[ORIGINAL].logits.argmax(1, keepdim=True)
        kept = _class_score(outputs[ORIGINAL].logits, first)
        values += [float((kept - _class_score(outputs[spec].logits, first)).mean()) for spec in self.cuts]
        self.rows[video.index] = (label, tuple(values))

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        if not self.points:
            return Result(not_applicable="Clips of one frame have no time.")
        labels, values = array("q"), array("d")
        for label, row in self.rows.values():
            labels.append(label)
            values.extend(row)
        of_videos = np.array(labels, np.int64)
        columns = np.array(values, np.float64).reshape(len(of_videos), len(self.columns) + len(self.cuts))
        labelled = of_videos >= 0
        figures = self._curves(columns, labelled) + self._extent(columns[:, len(self.columns) :])
        result = Result(figures=figures, tables={"curves": [vars(point) for point in self.points]})
        if labelled.any():
            result.tables["classes"] = self._classes(of_videos[labelled], columns[labelled])
        return result

    def _curves(self, columns: np.ndarray, labelled: np.ndarray) -> list[Figure]:
        note = unlabelled_note(int((~labelled).sum()))
        figures: list[Figure] = []
        for name, unit, of, said in (("top1", "%", labelled, note), ("divergence", "nats", labelled | True, "")):
            chosen = [number for number, column in enumerate(self.columns) if column[2] == name]
            templates = [
                Figure(name=name, value=None, unit=unit, level=level, variant=spec, note=said)
                for spec, level, _ in (self.columns[number] for number in chosen)
            ]
            if of.any():
                figures += mean_figures(templates, columns[of][:, chosen], **self.bootstrap)
        # Of the original clip it is nothing, and says nothing.
        return [figure for figure in figures if (figure.name, figure.variant) != ("divergence", ORIGINAL)]

    def _extent(self, losses: np.ndarray) -> list[Figure]:
        if not self.cuts:
            return []
        templates = [
            Figure(name="class_score", value=None, unit="logits", level="clip", variant=spec) for spec in self.cuts
        ]
        found = temporal_extent(losses, [*self.cuts.values()], self.cfg.DATA.NUM_FRAMES, **self.bootstrap)
        extent = Figure(name="extent", value=found.value, unit="frames", level="clip", interval=found.interval)
        return [replace(extent, count=found.count, note=found.note), *mean_figures(templates, losses, **self.bootstrap)]

    def _classes(self, labels: np.ndarray, columns: np.ndarray) -> list[dict[str, object]]:
        credits = {
            spec: columns[:, self.columns.index((spec, "video", "top1"))]
            for spec in (ORIGINAL, Cut().spec, Reverse().spec)
            if spec in self.specs
        }
        original = credits.pop(ORIGINAL)
        rows = class_changes(labels, original, credits, **self.bootstrap)
        return [{"class_name": self.class_name(int(str(row["class"])))} | row for row in rows]


def _class_score(logits: Tensor, first: Tensor) -> Tensor:
    """The logit of a class against the mean of all: ``(V, K), (V, 1) -> (V,)``."""
    logits = logits.double()
    return logits.gather(1, first)[:, 0] - logits.mean(1)
