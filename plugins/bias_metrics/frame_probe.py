"""Linear probe of an image network on single frames: how much static appearance says of the labels (RESOUND)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax, softmax

from pvbias.clips import ORIGINAL
from pvbias.context import Context
from pvbias.data import count_classes, field_of
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, log_probabilities_by_level, scores_by_level, top_k_credit
from pvbias.evaluation.statistics import mean_figures, paired_difference, proportion_interval
from pvbias.features.embedding import embeddings
from pvbias.features.logistic import PENALTIES, LinearClassifier, fit_logistic, fit_penalized, held_out_part
from pvbias.models import EMBEDDING, Outputs
from pvbias.models.student import student_recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

#: Shares of the classifier in its mixture with the prior to choose from; never all of it, which may be sure and wrong.
_TRUST = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True)
class ProbeRow:
    """Label and frame features of a video.

    Attributes:
        label: class index; -1: none.
        features: of the middle frame of each view, float32 ``(V, D)``.
        credit: the recognizer's, video level, in [0, 1].
    """

    label: int
    features: np.ndarray
    credit: float


@EVALUATOR.register(name="frame_probe")
class FrameProbe(Evaluator):
    """How well a linear classifier of single frames' features names the class, against chance (as RESOUND does).

    The features are those of an image network, ``STUDENT.NAME`` with ``STUDENT.CHECKPOINT_FILE_PATH`` (``imagenet``),
    of the frame in the middle of each view; the classifier is a logistic regression on the views of the training
    videos, its penalty chosen on a fifth of these videos. Nothing else is trained: a cheaper sibling of
    ``dataset_bias``, and as good as the features. It is a figure of the videos, and of no model; beside it the model's
    own accuracy tells which classes need more than a frame.

    - ``frame_top1``: accuracy; video level is of the probabilities averaged over the views.
    - ``representation_bias``: ln(accuracy / chance) with chance 1 / K, of the K classes that training videos have (Li,
      Li and Vasconcelos, *RESOUND: Towards Action Recognition without Representation Bias*, ECCV 2018): 0 where frames
      tell nothing, ln K where they tell all.
    - ``static_information``, nats: the mean over videos of ``ln q(y | frame) - ln p(y)``, with p the frequencies of the
      training labels: what a frame says of the label, as far as this classifier can use it; a lower bound. q is the
      classifier's probability mixed with p, by the share that is best on the held-out fifth: few videos make
      classifiers that are surer than they may be, and those would say less than nothing.

    Tables: ``frame_probe_classes``: for each class the probe's accuracy with its interval, the model's, whether a frame
    tells the class (interval above chance), and whether it ``needs_motion``: the model is right more often than the
    probe, by more than which videos were drawn. ``frame_probe``: how the probe was fitted.

    Videos without a label, or of a class that no training video has, are left out and counted in the notes.
    """

    needs = Needs(modulations=(ORIGINAL,), splits=("train",))

    def prepare(self, context: Context) -> None:
        """Compute the features of the training videos' frames.

        Raises:
            ConfigError: the clips show optical flow, single frames of which are motion.
            DataError: there are no training videos, or none has a label.
        """
        if self.cfg.DATA.MODALITY == "flow":
            raise ConfigError(
                "frame_probe: the clips show optical flow (DATA.MODALITY), and frames of it are no static appearance. "
                "Measure a model of RGB clips, or leave frame_probe out of BIAS.EVALUATORS."
            )
        self.settings = context.settings
        try:
            videos = context.source("train")
        except DataError as error:
            raise DataError(
                f"frame_probe fits a classifier of frames, and its training videos cannot be had: {error} Name them in "
                "DATA.TRAIN_SPLIT (`pvbias measure --train-data`), or leave frame_probe out of BIAS.EVALUATORS."
            ) from error
        own = self.cfg.clone()
        own.defrost()
        own.MODEL.NUM_CLASSES = self.num_classes = count_classes(videos)
        own.STUDENT.NUM_FRAMES = 1
        self.network = student_recognizer(own, self.recognizer.clip_spec, self.num_classes)
        found = embeddings(Context(own, context.settings), self.network, videos)
        listed = field_of(videos.records, "label")
        labelled = [(number, listed[number]) for number in found if listed[number] is not None]
        if found and not labelled:
            raise DataError(f"frame_probe: no video of {videos.description} has a label to learn from.")
        self.training = np.concatenate([found[number] for number, _ in labelled] or [np.empty((0, 0), np.float32)])
        views = np.array([len(found[number]) for number, _ in labelled], np.int64)
        self.labels = np.repeat(np.array([label for _, label in labelled], np.int64), views)
        self.groups = np.repeat(np.array([number for number, _ in labelled], np.int64), views)

    @torch.inference_mode()
    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        if video.label is None:
            self.rows[video.index] = None
            return
        with self.settings.autocast():
            features = [
                self.network.outputs(self.settings.clips(part), (EMBEDDING,)).features[EMBEDDING].float().cpu()
                for part in video.clips.split(self.cfg.TEST.BATCH_SIZE)
            ]
        scores = scores_by_level(outputs[ORIGINAL].logits)["video"]
        credit = float(top_k_credit(scores, video.label, 1)[0])
        self.rows[video.index] = ProbeRow(video.label, torch.cat(features).numpy(), credit)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        probe, c = fit_penalized(
            self.training,
            self.labels,
            self.num_classes,
            penalties=PENALTIES,
            seed=self.cfg.RNG_SEED,
            groups=self.groups,
        )
        prior = np.bincount(self.labels, minlength=self.num_classes) / len(self.labels)
        trust = self._trust(c, prior)
        known, labels, credits, columns = np.flatnonzero(prior), [], [], []
        # Not of the classes that the list may have names of: of those nothing is ever said, nor asked.
        self.chance = 1 / len(known)
        row: ProbeRow | None
        for row in self.rows.values():
            if row is not None and row.label in known:
                labels.append(row.label)
                credits.append(row.credit)
                columns.append(_scores(probe, row, float(prior[row.label]), trust))
        left_out = len(self.rows) - len(labels)
        if not labels:
            return Result(not_applicable=f"None of the {left_out} videos has a label of a training video.")
        note = f"linear probe, C = {c:g}" + ("" if probe.converged else ", NOT CONVERGED")
        note += f"; {left_out} videos without a label of a training video are left out" if left_out else ""
        templates = [
            Figure(name=name, value=None, unit=unit, level=level, note=note)
            for level in LEVELS
            for name, unit in (("frame_top1", "%"), ("static_information", "nats"))
        ]
        figures = mean_figures(templates, np.array(columns), **self.bootstrap)
        figures += [self._bias(figure) for figure in figures if figure.name == "frame_top1"]
        video_level = np.array(columns)[:, 2 * LEVELS.index("video")]
        tables = {
            "frame_probe_classes": self._classes(np.array(labels), video_level, np.array(credits)),
            "frame_probe": [self._fit(probe, c) | {"trust": trust}],
        }
        return Result(figures=figures, tables=tables)

    def _bias(self, accuracy: Figure) -> Figure:
        """ln(accuracy / chance), with the ends of the accuracy's interval."""
        assert accuracy.value is not None
        figure = replace(accuracy, name="representation_bias", unit="nats", value=None, interval=None, values=None)
        if accuracy.value == 0:
            return replace(figure, note="undefined: the accuracy is 0")
        value, *ends = (
            math.log(each / 100 / self.chance) if each else -math.inf
            for each in (accuracy.value, *(accuracy.interval or ()))
        )
        return replace(figure, value=value, interval=(ends[0], ends[1]) if ends else None)

    def _trust(self, c: float, prior: np.ndarray) -> float:
        """The share of the classifier in the mixture with the prior that makes held-out labels most probable."""
        held_out = held_out_part(self.labels, self.cfg.RNG_SEED, self.groups)
        if not held_out.any() or held_out.all():
            return _TRUST[-1]
        probe = fit_logistic(self.training[~held_out], self.labels[~held_out], self.num_classes, c)
        labels = self.labels[held_out]
        own = softmax(probe.scores(self.training[held_out]), axis=1)[np.arange(len(labels)), labels]
        return max(_TRUST, key=lambda share: float(np.log(share * own + (1 - share) * prior[labels]).sum()))

    def _classes(self, labels: np.ndarray, probe: np.ndarray, model: np.ndarray) -> list[dict[str, Any]]:
        """A row for each class, the one that frames tell least first."""
        rows = []
        for label in np.unique(labels).tolist():
            own, others = probe[labels == label], model[labels == label]
            low, high = proportion_interval(own) or (0.0, 1.0)
            gained = paired_difference(own, others, proportion=True, **self.bootstrap).interval
            rows.append(
                {
                    "class": self.class_name(label),
                    "videos": len(own),
                    "frame_top1": 100 * float(own.mean()),
                    "low": 100 * low,
                    "high": 100 * high,
                    "model_top1": 100 * float(others.mean()),
                    "told_by_a_frame": low > self.chance,
                    "needs_motion": gained is not None and gained[0] > 0,
                }
            )
        return sorted(rows, key=lambda row: (row["frame_top1"] - row["model_top1"], row["class"]))

    def _fit(self, probe: LinearClassifier, c: float) -> dict[str, Any]:
        right = probe.scores(self.training).argmax(1) == self.labels
        return {
            "network": self.cfg.STUDENT.NAME,
            "weights": self.cfg.STUDENT.CHECKPOINT_FILE_PATH or "random",
            "training_videos": len(np.unique(self.groups)),
            "frames": len(self.training),
            "features": self.training.shape[1],
            "penalty": c,
            "top1_training": 100 * float(right.mean()),
            "chance": 100 * self.chance,
            "converged": probe.converged,
        }


def _scores(probe: LinearClassifier, row: ProbeRow, prior: float, trust: float) -> list[float]:
    """Accuracy and information of a video at each level."""
    logs = log_probabilities_by_level(torch.from_numpy(log_softmax(probe.scores(row.features), axis=1)))
    found = []
    for level in LEVELS:
        found.append(float(top_k_credit(logs[level], row.label, 1).mean()))
        mixed = trust * logs[level][:, row.label].exp() + (1 - trust) * prior
        found.append(float(mixed.log().mean()) - math.log(prior))
    return found
