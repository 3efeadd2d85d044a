"""The best spatial student that some videos can teach: trained once, kept in the run's folder, found there again."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.clips import ClipSpec
from pvbias.data import VideoRecord, VideoSource, fingerprint
from pvbias.distributed import all_gather_objects, barrier, is_main_process
from pvbias.engine import Objective, Phase, Step, train
from pvbias.engine.metric_log import FILE_NAME as LOG_NAME
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation.divergence import divergence
from pvbias.models.recognizer import Recognizer
from pvbias.registries import OBJECTIVE
from pvbias.video import Video
from pvbias.zoo import atomic_save, model_state, read_checkpoint
from pvbias.zoo.fetching import sha256_of

logger = logging.getLogger(__name__)

#: The best weights so far, with the figures of the finished epochs.
FILE_NAME = "student.pyth"

#: Part of the training videos that the student is not trained on: they say which epoch's weights are the best.
HELD_OUT = 0.1

#: Keys of DATA that a student does not depend on: where the videos are, for which the fingerprint of the videos
#: stands, and the recognizer's normalisation.
_NOT_THE_STUDENTS = (
    *("PATH_TO_DATA_DIR", "TRAIN_SPLIT", "VAL_SPLIT", "TEST_SPLIT", "PATH_PREFIX", "CLASS_NAMES_FILE"),
    *("LIST_FORMAT", "LABELS_START_AT"),
    *("MAX_BAD_FRACTION", "MEAN", "STD"),
)


class Pupil(Recognizer):
    """A spatial student in the place of a recognizer: the engine trains, saves and resumes it like any other, the
    runner measures it like any other, and neither touches the model that it learns from.

    ``forward(clips (N, C, T, H, W)) -> log-probabilities (N, K)``; the student normalises by itself.

    Args:
        student: clips in [0, 1] -> log-probabilities; see :data:`pvbias.registries.STUDENT`.
        clip_spec: the clips it is shown.
        num_classes: K.
        teacher: the recognizer whose predictions it learns, in evaluation mode and on its device; None: it learns
            labels.
    """

    def __init__(
        self, student: nn.Module, *, clip_spec: ClipSpec, num_classes: int, teacher: Recognizer | None = None
    ) -> None:
        # "": which of the student's layers projects on the classes does not matter here.
        super().__init__(student, clip_spec=clip_spec.replace(mean=(0.0,) * 3, std=(1.0,) * 3), head="")
        self._num_classes = num_classes
        # In a tuple, so that the teacher's weights do not become part of the student's.
        self._teacher = (teacher,)

    @property
    def num_classes(self) -> int:
        """K."""
        return self._num_classes

    @property
    def teacher(self) -> Recognizer | None:
        """Whose predictions it learns."""
        return self._teacher[0]


@OBJECTIVE.register()
class StudentDistillation(Objective):
    """What ``dynamic_score_distill`` trains its student with; nothing to train a recognizer with.

    The mean over the mini-batch of ``KL(f(x) || f_s(x))`` in nats (the paper's eq. 2 and 3), in the student's weights.
    No label takes part. Logged beside it: ``agreement``, the percentage of clips whose most probable class is the same.

    Raises:
        ConfigError: what is to be trained is no student with a teacher.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        teacher = recognizer.teacher if isinstance(recognizer, Pupil) else None
        if teacher is None:
            raise ConfigError(
                "OBJECTIVE.NAME = 'StudentDistillation' is for the student of the evaluator 'dynamic_score_distill', "
                "which trains it by itself: choose another objective, and name the evaluator in BIAS.EVALUATORS."
            )
        self._teacher = (teacher,)

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"student": self.base_recognizer}
        return [Phase(name="student", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            log_p = self._teacher[0](step.clips).float().log_softmax(1)
        log_q = step.logits.float()
        agreement = (log_p.argmax(1) == log_q.argmax(1)).float().mean() * 100
        return {"loss": divergence(log_p, log_q).mean(), "agreement": agreement}


@dataclass(frozen=True)
class Subset:
    """Some videos of a source, a source themselves.

    Attributes:
        source: what opens them.
        records: which.
    """

    source: VideoSource
    records: Sequence[VideoRecord]

    @property
    def class_names(self) -> Sequence[str]:
        """The source's."""
        return self.source.class_names

    @property
    def description(self) -> str:
        """The source's."""
        return self.source.description

    def open(self, record: VideoRecord) -> Video:
        """See :class:`pvbias.data.VideoSource`."""
        return self.source.open(record)


def hold_out(source: VideoSource, *, seed: int) -> tuple[Subset, Subset]:
    """The videos to train on and those held out, in the source's order: a function of the seed and the names alone.

    Parts of the same video, which have the same name, stay together.

    Raises:
        DataError: fewer than two videos.
    """
    names = sorted({record.name for record in source.records})
    if len(names) < 2:
        raise DataError(
            f"A student is trained on some videos and chosen on others, and {source.description} has {len(names)}."
        )
    drawn = np.random.default_rng(seed).permutation(len(names))[: max(1, round(HELD_OUT * len(names)))]
    held_out = {names[index] for index in drawn}
    return (
        Subset(source, [record for record in source.records if record.name not in held_out]),
        Subset(source, [record for record in source.records if record.name in held_out]),
    )


def student_fingerprint(cfg: CfgNode, videos: Sequence[VideoSource], teacher: Recognizer | None) -> str:
    """Tells one trained student from another, 16 hexadecimal digits: by the videos, the keys that its training and its
    choice depend on, the weights that it starts from, and the teacher's weights and normalisation."""
    start = Path(cfg.STUDENT.CHECKPOINT_FILE_PATH)
    identity = {
        "DATA": {name: value for name, value in cfg.DATA.items() if name not in _NOT_THE_STUDENTS},
        "TRAIN": [cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.ACCUMULATE_STEPS],
        "TEST": [cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS],
        "BN": [cfg.BN.USE_PRECISE_STATS, cfg.BN.NUM_BATCHES_PRECISE],
        "videos": [fingerprint(source) for source in videos],
        "teacher": [cfg.MODEL.MODEL_NAME, _digest(teacher)] if teacher is not None else None,
        "start": sha256_of(start) if start.is_file() else "",  # published weights have their name
        **{name: cfg[name] for name in ("AUG", "STUDENT", "RNG_SEED", "PRECISION")},
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _digest(recognizer: Recognizer) -> str:
    digest = hashlib.sha256(repr((recognizer.mean.tolist(), recognizer.std.tolist())).encode())
    for name, value in sorted(model_state(recognizer).items()):
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def train_student(
    cfg: CfgNode, student: Pupil, videos: VideoSource, held_out_loss: Callable[[], float | None]
) -> list[dict[str, Any]]:
    """Give a student the weights of its best epoch: train it, go on with its training, or find it finished. Call in
    all processes.

    ``OUTPUT_DIR/student.pyth`` has ``model_state`` (the weights of the best epoch so far), ``epochs`` and
    ``finished``. It is replaced as a whole after each epoch.

    Args:
        cfg: :func:`training_cfg`.
        student: as built; trained in place.
        videos: what it is trained on.
        held_out_loss: measures the student (mean loss in nats) in the main process, to be called in all of them.

    Returns:
        ``epoch`` (from 1), ``training_loss``, ``held_out_loss`` of each epoch.

    Raises:
        TrainingError: a loss is not finite.
        WeightsError: ``student.pyth`` cannot be read, or not be written.
    """
    folder = Path(cfg.OUTPUT_DIR)
    kept = _read(folder) if is_main_process() else {}
    if all_gather_objects(kept.get("finished"))[0]:
        if is_main_process():
            logger.info("The student in %s is finished, and is not trained again", folder)
    else:
        # Which training it is, the folder's name says.
        identity = {"student": folder.name}
        train(
            cfg,
            student,
            videos,
            validate=lambda: _finish_epoch(folder, kept, student, held_out_loss()),
            identity=identity,
        )
        if is_main_process():
            atomic_save(kept | {"finished": True}, folder / FILE_NAME)
        barrier()
    kept = _read(folder)
    student.module.load_state_dict(kept["model_state"])
    return kept["epochs"]


def training_cfg(cfg: CfgNode, folder: Path, *, objective: str, num_classes: int) -> CfgNode:
    """The configuration of a student's training, of the run's completed one."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder)
    cfg.OBJECTIVE.NAME, cfg.OBJECTIVE.LABEL_SMOOTHING = objective, 0.0
    cfg.MODEL.NUM_CLASSES = num_classes
    cfg.SOLVER = cfg.STUDENT.SOLVER.clone()
    cfg.BN.FREEZE = False  # meant for the recognizer
    cfg.TRAIN.AUTO_RESUME, cfg.TRAIN.EVAL_PERIOD, cfg.TRAIN.CHECKPOINT_PERIOD = True, 1, 1
    cfg.TRAIN.CHECKPOINT_KEEP, cfg.TRAIN.CHECKPOINT_BEST, cfg.TRAIN.RESUME_CHANGED = 1, "", []
    cfg.LOG_PERIOD = 10**9  # one line an epoch, with the means over all of it
    cfg.freeze()
    return cfg


def _read(folder: str | Path) -> dict[str, Any]:
    file = Path(folder) / FILE_NAME
    return read_checkpoint(str(file)) if file.exists() else {"model_state": {}, "epochs": [], "finished": False}


def _finish_epoch(folder: Path, kept: dict[str, Any], student: Pupil, loss: float | None) -> Mapping[str, float]:
    if not is_main_process():
        return {}
    assert loss is not None
    lines = map(json.loads, (folder / LOG_NAME).read_text(encoding="utf-8").splitlines())
    last = [line for line in lines if line["kind"] == "train"][-1]
    epoch = math.ceil(last["epoch"])
    # The same epoch may be measured again: by a training that was interrupted between this and its own note of it.
    epochs = kept["epochs"] = [earlier for earlier in kept["epochs"] if earlier["epoch"] < epoch]
    if all(loss < earlier["held_out_loss"] for earlier in epochs):
        # Copies: on the CPU these are the weights that the next epoch changes.
        kept["model_state"] = {name: value.clone() for name, value in model_state(student).items()}
    epochs.append({"epoch": epoch, "training_loss": last["loss"], "held_out_loss": loss})
    atomic_save(kept, folder / FILE_NAME)
    return {"held_out_loss": loss}
