"""The distilled dynamic score and dataset bias: how far the best classifier of single frames stays behind."""

from __future__ import annotations

import abc
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.clips import ORIGINAL
from pvbias.data import BadVideoLog, VideoSource, build_source, count_classes, look_up
from pvbias.data.labels import check_first_label
from pvbias.distributed import is_main_process
from pvbias.engine.seeding import seed_everything
from pvbias.errors import DataError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews, run_evaluators
from pvbias.evaluation.accuracy import LEVELS, log_probabilities_by_level, top_k_credit, unlabelled_note
from pvbias.evaluation.statistics import mean_figures
from pvbias.models.recognizer import Recognizer
from pvbias.registries import EVALUATOR, STUDENT

from .metrics import agreement, dataset_bias, dynamic_score
from .students import Pupil, Subset, hold_out, student_fingerprint, train_student, training_cfg

if TYPE_CHECKING:
    from pvbias.runtime import Settings

logger = logging.getLogger(__name__)

#: (loss, other figure) of a video by level, in the order of :attr:`StudentEvaluator.figures`.
Scores = dict[str, tuple[float, float]]


class StudentEvaluator(Evaluator):
    """A loss of a spatial student that is trained, on the training split, to make it small.

    Nine tenths of the training videos train the student (``STUDENT.NAME``), by ``STUDENT.SOLVER`` and in mini-batches
    of ``TRAIN.BATCH_SIZE`` clips; on the others its clip-level loss is measured after each epoch, in the views that
    test videos are seen in, and the weights of the best epoch are kept. All this is in
    ``OUTPUT_DIR/students/<evaluator>-<fingerprint>/``: an interrupted training goes on there, and a finished student
    with the same fingerprint is not trained again (:func:`.students.student_fingerprint`).

    Tables: ``student_training``, one row for each epoch.

    Attributes:
        name: under which it is registered.
        objective: in the OBJECTIVE registry.
        figures: name and unit of what :meth:`scores` gives; the loss comes first.
        variant: of the figures.
        student: in evaluation mode, once :meth:`prepare` is through.
    """

    modulations: tuple[str, ...] = (ORIGINAL,)
    name: str
    objective: str
    figures: tuple[tuple[str, str], tuple[str, str]]
    variant: str
    student: Pupil

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.epochs: list[dict[str, Any]] = []

    @abc.abstractmethod
    def teaching(self, videos: VideoSource) -> tuple[Recognizer | None, int]:
        """What the student learns from, the recognizer or (None) the labels, and the number of its classes.

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

    def prepare(self, settings: Settings) -> None:
        """Train the student, or find it trained.

        Raises:
            DataError: there is no training split, or none that it can be trained on.
        """
        self.settings = settings
        videos = self._training_videos()
        teacher, num_classes = self.teaching(videos)
        if teacher is not None:
            # No label takes part, but the loader wants one that is among the classes.
            videos = Subset(videos, [dataclasses.replace(record, label=0) for record in videos.records])
        fitting, held_out = hold_out(videos, seed=self.cfg.RNG_SEED)
        fingerprint = student_fingerprint(self.cfg, (fitting, held_out), teacher)
        folder = Path(self.cfg.OUTPUT_DIR) / "students" / f"{self.name}-{fingerprint}"
        cfg = training_cfg(self.cfg, folder, objective=self.objective, num_classes=num_classes)
        if is_main_process():
            logger.info("%s: the student, %s, is kept in %s", self.name, cfg.STUDENT.NAME, folder)
        seed_everything(cfg.RNG_SEED)  # its weights start the same whatever came before
        student = STUDENT.get(cfg.STUDENT.NAME)(cfg, num_classes)
        clip_spec = self.recognizer.clip_spec
        self.student = Pupil(student, clip_spec=clip_spec, num_classes=num_classes, teacher=teacher)

        def held_out_loss() -> float | None:
            # What fraction of the videos may be bad is the training's affair: among few, one can be too many.
            bad_log = BadVideoLog(folder, max_fraction=1.0)
            loss = {"loss": HeldOutLoss(self)}
            results = run_evaluators(
                cfg, self.student, held_out, loss, settings=settings, bad_log=bad_log, split="train", progress=False
            )
            return results["loss"].figures[0].value if results else None

        self.epochs = train_student(cfg, self.student, fitting, held_out_loss)
        settings.place(self.student).eval()

    @torch.inference_mode()
    def predict(self, model: nn.Module, video: VideoViews) -> Tensor:
        """What a model that the runner does not run says of a video's views: float32 ``(V, K)``, on the CPU."""
        with self.settings.autocast():
            views = video.clips.split(self.cfg.TEST.BATCH_SIZE)
            return torch.cat([model(self.settings.clips(part)).float().cpu() for part in views])

    def process(self, video: VideoViews, logits: Mapping[str, Tensor]) -> None:
        """Keeps the scores of each level; None for a video that has none."""
        self.rows[video.index] = self.scores(video, self.predict(self.student, video), logits[ORIGINAL])

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        best = min(self.epochs, key=lambda row: row["held_out_loss"], default=None)
        tables = {"student_training": [row | {"best": row is best} for row in self.epochs]}
        rows = [row for row in self.rows.values() if row is not None]
        if not rows:
            reason = f"None of the {len(self.rows)} videos has a label: the student has nothing to be measured by."
            return Result(tables=tables, not_applicable=reason)
        note = unlabelled_note(self.rows)
        figures = [
            Figure(name=name, value=None, unit=unit, level=level, variant=self.variant, note=note)
            for level in LEVELS
            for name, unit in self.figures
        ]
        columns = np.array([[score for level in LEVELS for score in row[level]] for row in rows])
        return Result(figures=mean_figures(figures, columns, **self.bootstrap), tables=tables)

    def _training_videos(self) -> VideoSource:
        try:
            videos = build_source(self.cfg, "train")
            look_up(videos, BadVideoLog(self.cfg.OUTPUT_DIR, self.cfg.DATA.MAX_BAD_FRACTION), split="train")
            return videos
        except DataError as error:
            raise DataError(
                f"{self.name} trains a spatial student, and its training videos cannot be had: {error} Name them in "
                f"DATA.TRAIN_SPLIT (`pvbias measure --train-data`), or leave {self.name} out of BIAS.EVALUATORS."
            ) from error


class HeldOutLoss(Evaluator):
    """The mean clip-level loss of a student in training, which the runner runs in the recognizer's place."""

    modulations: tuple[str, ...] = (ORIGINAL,)

    def __init__(self, measure: StudentEvaluator) -> None:
        super().__init__(measure.cfg, measure.student, ())
        self.measure = measure

    def process(self, video: VideoViews, logits: Mapping[str, Tensor]) -> None:
        """Keeps the loss."""
        teacher = self.measure.student.teacher
        taught = self.measure.predict(teacher, video) if teacher is not None else None
        scores = self.measure.scores(video, logits[ORIGINAL], taught)
        assert scores is not None  # training videos have labels
        self.rows[video.index] = scores["clip"][0]

    def evaluate(self) -> Result:
        """One figure."""
        mean = float(np.mean(list(self.rows.values())))
        return Result(figures=[Figure(name="loss", value=mean, unit="nats", level="clip", count=len(self.rows))])


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
    objective = "StudentDistillation"
    figures = (("dynamic_score", "nats"), ("agreement", "%"))
    variant = "distill"

    def teaching(self, videos: VideoSource) -> tuple[Recognizer | None, int]:
        """The recognizer."""
        return self.recognizer, self.recognizer.num_classes

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
    objective = "CrossEntropy"
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
