"""The base of this plugin's evaluators: accuracies on clips that are made of the videos' masks."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, scores_by_level, top_k_credit, unlabelled_note
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs, Recognizer

from .tracks import NO_DONOR

#: Views of a mask that are looked at together.
_VIEWS_AT_ONCE = 16


class ContrastedEvaluator(Evaluator):
    """Base of evaluators whose figures are shares of videos, in percent, clip-level and video-level
    (:class:`pvbias.evaluation.Accuracy`), with Wilson's intervals over videos.

    Left out, and counted in a note, are videos without a label, and, where the track ``mask`` is needed, those whose
    mask is empty in all frames: what is made of them shows no action.

    Attributes:
        measured: (name, variant) of each figure.

    Raises:
        ConfigError: the clips show optical flow.
    """

    measured: Sequence[tuple[str, str]]

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        if cfg.DATA.MODALITY not in (None, "rgb"):
            raise ConfigError(
                f"{type(self).__name__} makes clips of RGB, and DATA.MODALITY = {cfg.DATA.MODALITY!r}: take it out of "
                "BIAS.EVALUATORS."
            )

    @abc.abstractmethod
    def credits(self, video: VideoViews, label: int, scores: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """What each view counts for each figure, in [0, 1]: ``(V,)`` for each of :attr:`measured`.

        Args:
            label: the video's.
            scores: class scores ``(V, K)`` by modulation; V is 1 at video level.
        """

    def why_not(self, video: VideoViews) -> str:
        """Why a labelled video is left out, in words that continue "videos"; empty: it is not."""
        masks = video.tracks.get("mask")
        if masks is not None and not any(bool(part.any()) for part in masks.split(_VIEWS_AT_ONCE)):
            return "whose mask is empty"
        if any(name.startswith("donor_") and int(of[0][3].max()) == NO_DONOR for name, of in video.tracks.items()):
            return "without another video for their background"
        return ""

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        if video.label is None:
            self.rows[video.index] = ""
            return
        if reason := self.why_not(video):
            self.rows[video.index] = reason
            return
        by_level = {spec: scores_by_level(outputs[spec].logits) for spec in self.needs.modulations}
        self.rows[video.index] = [
            float(credit.mean())
            for level in LEVELS
            for credit in self.credits(video, video.label, {spec: each[level] for spec, each in by_level.items()})
        ]

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        left_out: Counter[str] = Counter()
        columns = []
        for row in self.rows.values():
            if isinstance(row, str):
                left_out[row] += 1
            else:
                columns.append(row)
        notes = [unlabelled_note(left_out.pop("", 0))]
        notes += [f"{count} videos {reason} are left out" for reason, count in sorted(left_out.items())]
        note = "; ".join(filter(None, notes))
        if not columns:
            return Result(not_applicable=f"There is no video to count: {note or 'there is none at all'}.")
        figures = [
            Figure(name=name, value=None, unit="%", level=level, variant=variant, note=note)
            for level in LEVELS
            for name, variant in self.measured
        ]
        return Result(figures=mean_figures(figures, np.array(columns), **self.bootstrap))


class PlainAccuracies(ContrastedEvaluator):
    """Base of evaluators of top-1 accuracies alone, on each of the modulations that it needs."""

    @property
    def measured(self) -> Sequence[tuple[str, str]]:  # type: ignore[override]
        """A figure a modulation."""
        return [("top1", spec) for spec in self.needs.modulations]

    def credits(self, video: VideoViews, label: int, scores: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """See :meth:`ContrastedEvaluator.credits`."""
        return [top_k_credit(scores[spec], label, 1) for spec in self.needs.modulations]
