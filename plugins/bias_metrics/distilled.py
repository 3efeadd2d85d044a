"""The distilled dynamic score and dataset bias, by a spatial student that is trained on the training split."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.clips import ORIGINAL
from pvbias.context import Context
from pvbias.data import VideoSource, count_classes
from pvbias.data.labels import check_first_label
from pvbias.engine import Step, classification
from pvbias.engine.seeding import seed_everything
from pvbias.errors import DataError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, log_probabilities_by_level, top_k_credit, unlabelled_note
from pvbias.evaluation.divergence import divergence
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, STUDENT
from pvbias.run.fitting import Fitted, weights_digest

from .metrics import agreement, dataset_bias, dynamic_score

#: (loss, other figure) of a video by level, in the order of :attr:`StudentEvaluator.figures`.
Scores = dict[str, tuple[float, float]]


class StudentEvaluator(Evaluator):
    """Base of evaluators of a spatial student's loss after training.

    Nine tenths of the training videos train the student (``STUDENT.NAME``), by ``STUDENT.SOLVER`` and in mini-batches
    of ``TRAIN.BATCH_SIZE`` clips; on the others its clip-level loss is measured after each epoch, in the views that
    test videos are seen in, and the weights of the best epoch are kept. All this is in
    ``OUTPUT_DIR/fitted/<evaluator>-<fingerprint>/``: an interrupted training goes on there, and a finished student
    with the same fingerprint is not trained again (:func:`pvbias.run.fitting.fit`).

    Tables: ``student_training``, one row for each epoch.

    Attributes:
        name: under which it is registered.
        figures: name and unit of what :meth:`scores` gives; the loss comes first.
        variant: of the figures.
        student: in evaluation mode, once :meth:`prepare` is through.
    """

    needs = Needs(modulations=(ORIGINAL,), splits=("train",))
    name: str
    figures: tuple[tuple[str, str], tuple[str, str]]
    variant: str
    student: Recognizer

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.teacher: Recognizer | None = None
        self.fitted: Fitted | None = None

    @abc.abstractmethod
    def teaching(self, videos: VideoSource) -> tuple[Recognizer | None, int]:
        """The student's teacher, the recognizer or (None) the labels, and the number of classes.

        Raises:
            DataError: there are no labels to learn from.
        """

    @abc.abstractmethod
    def scores(self, video: VideoViews, log_q: Tensor, logits: Tensor | None) -> Scores | None:
        """One video's scores; None where they take a label and it has none.

        Args:
            video: its views.
            log_q: the student's log-probabilities ``(V, K)``.
            logits: the teacher's ``(V, K)``, where there is one.
        """

    @abc.abstractmethod
    def loss(self, step: Step) -> dict[str, Tensor]:
        """The student's training loss on a mini-batch, in nats."""

    def prepare(self, context: Context) -> None:
        """Train the student, or load it where it is trained.

        Raises:
            DataError: there is no training split, or none that it can be trained on.
        """
        self.settings = context.settings
        videos = self._training_videos(context)
        self.teacher, num_classes = self.teaching(videos)
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.MODEL.NUM_CLASSES = num_classes
        seed_everything(cfg.RNG_SEED)  # its weights start the same whatever came before
        student = STUDENT.get(cfg.STUDENT.NAME)(cfg, num_classes)
        # It normalises by itself.
        clip_spec = self.recognizer.clip_spec.replace(mean=(0.0,) * 3, std=(1.0,) * 3)
        self.student = Recognizer(student, clip_spec=clip_spec, head="", num_classes=num_classes)
        self.fitted = context.fit(
            self.student,
            videos,
            self.loss,
            name=self.name,
            solver=cfg.STUDENT.SOLVER,
            depends_on={
                "STUDENT": {name: value for name, value in cfg.STUDENT.items() if name != "SOLVER"},
                "teacher": None if self.teacher is None else [cfg.MODEL.MODEL_NAME, weights_digest(self.teacher)],
            },
            held_out_loss=self._held_out_loss,
            labelled=self.teacher is None,
        )

    def _held_out_loss(self, video: VideoViews, outputs: Outputs) -> float:
        taught = None if self.teacher is None else self.predict(self.teacher, video)
        scores = self.scores(video, outputs.logits, taught)
        assert scores is not None  # training videos have labels
        return scores["clip"][0]

    @torch.inference_mode()
    def predict(self, model: nn.Module, video: VideoViews) -> Tensor:
        """A model's predictions for a video's views outside of the runner's forwards: float32 ``(V, K)``, on the
        CPU."""
        with self.settings.autocast():
            views = video.clips.split(self.cfg.TEST.BATCH_SIZE)
            return torch.cat([model(self.settings.clips(part)).float().cpu() for part in views])

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the scores of each level; None for a video that has none."""
        self.rows[video.index] = self.scores(video, self.predict(self.student, video), outputs[ORIGINAL].logits)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        tables: dict[str, list[dict[str, Any]]] = {"student_training": []}
        if self.fitted is not None:
            best = self.fitted.best
            tables["student_training"] = [{**row, "best": row["epoch"] == best} for row in self.fitted.epochs]
        scores = [[score for level in LEVELS for score in row[level]] for row in self.rows.values() if row is not None]
        if not scores:
            reason = f"None of the {len(self.rows)} videos has a label: the student has nothing to be measured by."
            return Result(tables=tables, not_applicable=reason)
        note = unlabelled_note(len(self.rows) - len(scores))
        figures = [
            Figure(name=name, value=None, unit=unit, level=level, variant=self.variant, note=note)
            for level in LEVELS
            for name, unit in self.figures
        ]
        return Result(figures=mean_figures(figures, np.array(scores), **self.bootstrap), tables=tables)

    def _training_videos(self, context: Context) -> VideoSource:
        try:
            return context.source("train")
        except DataError as error:
            raise DataError(
                f"{self.name} trains a spatial student, and its training videos cannot be had: {error} Name them in "
                f"DATA.TRAIN_SPLIT (`pvbias measure --train-data`), or leave {self.name} out of BIAS.EVALUATORS."
            ) from error


@EVALUATOR.register(name="dynamic_score_distill")
class DistilledDynamicScore(StudentEvaluator):
    """``E[KL(f(x) || f_s(x))]`` in nats, with the spatial student f_s trained to make it small; agreement in percent.

    The paper's eq. 2 with the divergence of its eq. 3, found as its section 3.2 says: the student is trained by
    knowledge distillation from the frozen recognizer alone, and the score is the distillation loss on the test videos.
    No label takes part. 0: a classifier of single frames can say all that the recognizer says. There is no upper bound.
    A better student could only come closer, so the score is as good as the student and its training (``STUDENT``).

    - Clip-level: the mean over a video's views, then over videos. Video-level: the divergence of the probabilities
      averaged over the views, never larger, the divergence being convex.
    - Agreement: the share of clips (videos) whose most probable class is the same for both.
    - How the student is trained, and kept: :class:`StudentEvaluator`.
    """

    name = "dynamic_score_distill"
    figures = (("dynamic_score", "nats"), ("agreement", "%"))
    variant = "distill"

    def teaching(self, videos: VideoSource) -> tuple[Recognizer | None, int]:
        """The recognizer."""
        return self.recognizer, self.recognizer.num_classes

    def loss(self, step: Step) -> dict[str, Tensor]:
        """The mean over the mini-batch of ``KL(f(x) || f_s(x))`` in nats (the paper's eq. 2 and 3). Logged beside it:
        ``agreement``, the percentage of clips whose most probable class is the same."""
        assert self.teacher is not None
        with torch.no_grad():
            log_p = self.teacher(step.clips).float().log_softmax(1)
        log_q = step.logits.float()
        agreement = (log_p.argmax(1) == log_q.argmax(1)).float().mean() * 100
        return {"loss": divergence(log_p, log_q).mean(), "agreement": agreement}

    def scores(self, video: VideoViews, log_q: Tensor, logits: Tensor | None) -> Scores:
        """(divergence, agreement)."""
        assert logits is not None
        p, q = log_probabilities_by_level(logits), log_probabilities_by_level(log_q)
        return {
            level: (float(dynamic_score(p[level], q[level])), float(agreement(p[level], q[level]))) for level in LEVELS
        }


@EVALUATOR.register(name="dataset_bias")
class DatasetBias(StudentEvaluator):
    """``E[-ln f_s(x)_y]`` in nats, with the spatial student f_s trained to make it small; its top-1 accuracy.

    The paper's eq. 5: eq. 2 with the label y in the recognizer's place, a distribution that is all on y. It is a figure
    of the videos, and of no model, which is not used (but for the frames, size and sampling of the clips). 0: single
    frames give every label away. About ln K: they tell nothing, and more than that: what they tell is wrong.

    - Clip-level: the mean over a video's views, then over videos. Video-level: of the probabilities averaged over the
      views.
    - As many classes as the training split has. Videos without a label are left out, and counted in the notes.
    - Where the label's score is tied with others, accuracy gives the credit that breaking the tie at random would.
    - How the student is trained, and kept: :class:`StudentEvaluator`.
    """

    name = "dataset_bias"
    figures = (("dataset_bias", "nats"), ("student_top1", "%"))
    variant = ORIGINAL

    def teaching(self, videos: VideoSource) -> tuple[Recognizer | None, int]:
        """Labels, as many as there are."""
        unlabelled = next((record.name for record in videos.records if record.label is None), None)
        if unlabelled is not None:
            raise DataError(
                f"dataset_bias trains a spatial student on the labels of {videos.description}, and {unlabelled!r} has "
                "none: give labelled training videos, or leave dataset_bias out of BIAS.EVALUATORS."
            )
        classes = count_classes(videos)
        check_first_label(self.cfg, videos, classes - 1)
        return None, classes

    def loss(self, step: Step) -> dict[str, Tensor]:
        """The mean cross-entropy with the labels, in nats."""
        return classification(step.logits, step.labels)

    def scores(self, video: VideoViews, log_q: Tensor, logits: Tensor | None) -> Scores | None:
        """(cross-entropy, credit for the first choice)."""
        if video.label is None:
            return None
        if video.label >= self.student.num_classes:
            raise DataError(
                f"Video {video.name!r} has the label {video.label}, but the training split's classes, which the "
                f"student of dataset_bias knows, are 0 to {self.student.num_classes - 1}. Check the two annotations."
            )
        q = log_probabilities_by_level(log_q)
        return {
            level: (
                float(dataset_bias(q[level], torch.full((len(q[level]),), video.label))),
                float(top_k_credit(q[level], video.label, 1).mean()),
            )
            for level in LEVELS
        }
