"""Training of auxiliary networks (student, reference network, probe): once, kept by fingerprint."""

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
from torch import Tensor

from ..clips import ORIGINAL
from ..context import Context
from ..data import (
    BadVideoLog,
    RecordSubset,
    VideoRecord,
    VideoSource,
    attributes_fingerprint,
    field_of,
    fingerprint,
)
from ..distributed import all_gather_objects, barrier, is_main_process
from ..engine import Objective, Phase, Step, train
from ..engine.metric_log import FILE_NAME as LOG_NAME
from ..errors import DataError, TrainingError
from ..evaluation import Evaluator, Figure, Result, VideoViews, run_evaluators
from ..models import Outputs, Recognizer
from ..needs import Needs
from ..video import Video
from ..zoo import atomic_save, model_state, read_checkpoint

logger = logging.getLogger(__name__)

#: The weights that are kept, with the figures of the finished epochs.
FILE_NAME = "network.pyth"

#: Part of the videos that a network is not trained on where the best epoch is chosen: they say which that is.
HELD_OUT = 0.1

#: Keys of DATA that a training does not depend on: where the videos are, for which the fingerprint of the videos
#: stands, and the recognizer's normalisation, for which that of the network does.
_NOT_OF_THE_CLIPS = (
    *("PATH_TO_DATA_DIR", "TRAIN_SPLIT", "VAL_SPLIT", "TEST_SPLIT", "PATH_PREFIX", "CLASS_NAMES_FILE"),
    *("LIST_FORMAT", "LABELS_START_AT", "STREAMS"),
    *("MAX_BAD_FRACTION", "MEAN", "STD"),
)

#: ``loss(step) -> {"loss": scalar to minimise, other names: scalars to log}``
Loss = Callable[[Step], dict[str, Tensor]]
#: The mean loss over one video's views.
HeldOutLoss = Callable[[VideoViews, Outputs], float]


@dataclass(frozen=True)
class Fitted:
    """The outcome of a network's training.

    Attributes:
        epochs: ``epoch`` (from 1), ``training_loss``, ``held_out_loss`` (None: nothing was held out) of each.
        best: number of the epoch whose weights it has.
        folder: where it is kept.
    """

    epochs: Sequence[Mapping[str, Any]]
    best: int
    folder: Path


def fit(
    context: Context,
    network: Recognizer,
    source: VideoSource,
    loss: Loss,
    *,
    name: str,
    solver: CfgNode,
    depends_on: Mapping[str, Any],
    held_out_loss: HeldOutLoss | None,
    labelled: bool,
) -> Fitted:
    """Train a network, resume its training, or load it where it is trained; call in all processes.

    Mini-batches are those of the run's training (``TRAIN.BATCH_SIZE``, augmentation, sampling). All is kept in the
    workspace ``<name>-<fingerprint>``: killed at any moment, it goes on there, and a finished network with the same
    fingerprint is not trained again.

    Args:
        context: of the run.
        network: as built, and its starting weights with it; trained in place, then in evaluation mode on its device.
        source: the videos.
        loss: in the network's weights.
        name: of what it is for.
        solver: optimizer and schedule, keys as in ``SOLVER``.
        depends_on: what else decides the result: options, digests of other networks; JSON-like.
        held_out_loss: a tenth of the videos is held out, in the views that test videos are seen in, and the weights of
            the epoch with the smallest mean of this over them are kept. None: those of the last epoch, and nothing is
            held out.
        labelled: the loss needs labels.

    Raises:
        DataError: fewer than two videos, where some are held out.
        TrainingError: a loss is not finite, that over the held-out videos included.
        WeightsError: what is kept cannot be read, or not be written.
    """
    if not labelled:
        # No label takes part: neither one out of range nor the fingerprint knows of it.
        source = Subset(source, RecordSubset(source.records, range(len(source.records)), labelled=False))
    parts = [source] if held_out_loss is None else list(hold_out(source, seed=context.cfg.RNG_SEED))
    identity = fitting_identity(context.cfg, parts, network, solver, depends_on)
    folder = context.workspace(name, digest_of(identity))
    cfg = _training_cfg(context.cfg, folder, solver=solver, num_classes=network.num_classes)
    if is_main_process():
        logger.info("%s: the network that it trains is kept in %s", name, folder)

    def held_out() -> float | None:
        if held_out_loss is None:
            return None
        # What fraction of the videos may be bad is the training's affair: among few, one can be too many.
        log = BadVideoLog(folder, max_fraction=1.0)
        measured = {"loss": _HeldOut(cfg, network, held_out_loss)}
        results = run_evaluators(
            cfg, network, parts[1], measured, settings=context.settings, bad_log=log, split="train", progress=False
        )
        return results["loss"].figures[0].value if results else None

    kept = _read(folder) if is_main_process() else {}
    if all_gather_objects(kept.get("finished"))[0]:
        if is_main_process():
            logger.info("The network in %s is finished, and is not trained again", folder)
    else:
        train(
            cfg,
            network,
            parts[0],
            labelled=labelled,
            objective=lambda own, recognizer: _Fitting(own, recognizer, loss),
            validate=lambda: _finish_epoch(folder, kept, network, held_out()),
            identity={"network": folder.name},  # which training it is, the folder's name says
        )
        if is_main_process():
            atomic_save(kept | {"finished": True}, folder / FILE_NAME)
        barrier()
    kept = _read(folder)
    network.module.load_state_dict(kept["model_state"])
    context.settings.place(network).eval()
    epochs = kept["epochs"]
    best = min(epochs, key=lambda row: row["held_out_loss"]) if held_out_loss is not None else epochs[-1]
    return Fitted(epochs, best["epoch"], folder)


class _Fitting(Objective):
    """An objective of one phase with a given loss."""

    description = "the loss of an auxiliary network"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, loss: Loss) -> None:
        super().__init__(cfg, recognizer)
        self._loss = loss

    def phases(self) -> Sequence[Phase]:
        """The one phase."""
        modules = {"network": self.base_recognizer}
        return [Phase(name="network", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]


class _HeldOut(Evaluator):
    """Evaluator of the mean loss over videos."""

    needs = Needs(modulations=(ORIGINAL,))

    def __init__(self, cfg: CfgNode, network: Recognizer, loss: HeldOutLoss) -> None:
        super().__init__(cfg, network, ())
        self._loss = loss

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keep the loss."""
        self.rows[video.index] = self._loss(video, outputs[ORIGINAL])

    def evaluate(self) -> Result:
        """One figure."""
        mean = float(np.mean(list(self.rows.values())))
        return Result(figures=[Figure(name="loss", value=mean, unit="nats", level="clip", count=len(self.rows))])


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
    """Split videos into those to train on and those held out, in the source's order: a function of the seed and the
    names alone.

    Parts of the same video, which have the same name, stay together.

    Raises:
        DataError: fewer than two videos.
    """
    listed = field_of(source.records, "name")
    names = sorted({*listed})
    if len(names) < 2:
        raise DataError(
            f"A network is trained on some videos and chosen on others, and {source.description} has {len(names)}."
        )
    drawn = np.random.default_rng(seed).permutation(len(names))[: max(1, round(HELD_OUT * len(names)))]
    held_out = {names[index] for index in drawn}
    numbers: tuple[list[int], list[int]] = ([], [])
    for number, name in enumerate(listed):
        numbers[name in held_out].append(number)
    training, chosen = (Subset(source, RecordSubset(source.records, part)) for part in numbers)
    return training, chosen


def fitting_identity(
    cfg: CfgNode,
    videos: Sequence[VideoSource],
    network: Recognizer,
    solver: CfgNode,
    depends_on: Mapping[str, Any],
) -> dict[str, Any]:
    """The identity of a trained network: the videos, the keys that its training and its choice depend on, the weights
    that it starts from and those that stay frozen, and what else the caller gives."""
    attributes = [attributes_fingerprint(source) for source in videos]  # which the loss may use
    frozen = sorted(name for name, parameter in network.module.named_parameters() if not parameter.requires_grad)
    return {
        "DATA": {name: value for name, value in cfg.DATA.items() if name not in _NOT_OF_THE_CLIPS},
        "TRAIN": [cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.ACCUMULATE_STEPS],
        "TEST": [cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS],
        "BN": [cfg.BN.USE_PRECISE_STATS, cfg.BN.NUM_BATCHES_PRECISE],
        "SOLVER": solver,
        "videos": [fingerprint(source) for source in videos],
        "start": weights_digest(network),
        "depends_on": depends_on,
        **({"attributes": attributes} if any(attributes) else {}),
        **({"frozen": frozen} if frozen else {}),
        **({"NUM_SHARDS": cfg.NUM_SHARDS} if solver.BASE_LR_SCALE_NUM_SHARDS else {}),
        **{name: cfg[name] for name in ("RNG_SEED", "PRECISION")},
    }


def weights_digest(recognizer: Recognizer) -> str:
    """SHA-256, hexadecimal, over a recognizer's weights and normalisation."""
    digest = hashlib.sha256(repr((recognizer.mean.tolist(), recognizer.std.tolist())).encode())
    for name, value in sorted(model_state(recognizer).items()):
        digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def digest_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of JSON-like values."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _training_cfg(cfg: CfgNode, folder: Path, *, solver: CfgNode, num_classes: int) -> CfgNode:
    """The configuration of a network's training, of the run's completed one."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder)
    cfg.OBJECTIVE.LABEL_SMOOTHING = 0.0
    cfg.MODEL.NUM_CLASSES = num_classes
    cfg.SOLVER = solver.clone()
    cfg.BN.NORM_TYPE, cfg.BN.FREEZE, cfg.TRAIN.TRANSFORMS = "batchnorm", False, []  # meant for the recognizer
    cfg.TRAIN.AUTO_RESUME, cfg.TRAIN.EVAL_PERIOD, cfg.TRAIN.CHECKPOINT_PERIOD = True, 1, 1
    cfg.TRAIN.CHECKPOINT_KEEP, cfg.TRAIN.CHECKPOINT_BEST, cfg.TRAIN.RESUME_CHANGED = 1, "", []
    cfg.LOG_PERIOD = 10**9  # one line an epoch, with the means over all of it
    cfg.freeze()
    return cfg


def _read(folder: Path) -> dict[str, Any]:
    file = folder / FILE_NAME
    return read_checkpoint(str(file)) if file.exists() else {"model_state": {}, "epochs": [], "finished": False}


def _finish_epoch(folder: Path, kept: dict[str, Any], network: Recognizer, loss: float | None) -> Mapping[str, float]:
    if not is_main_process():
        return {}
    lines = map(json.loads, (folder / LOG_NAME).read_text(encoding="utf-8").splitlines())
    last = [line for line in lines if line["kind"] == "train"][-1]
    epoch = math.ceil(last["epoch"])
    if loss is not None and not math.isfinite(loss):
        raise TrainingError(
            f"The loss over the held-out videos is {loss} after epoch {epoch}, and says nothing of which epoch is the "
            f"best ({folder}). Look at held_out_loss, or try a lower learning rate."
        )
    # The same epoch may be measured again: by a training that was interrupted between this and its own note of it.
    epochs = kept["epochs"] = [earlier for earlier in kept["epochs"] if earlier["epoch"] < epoch]
    if loss is None or all(loss < earlier["held_out_loss"] for earlier in epochs):
        # Copies: on the CPU these are the weights that the next epoch changes.
        kept["model_state"] = {name: value.clone() for name, value in model_state(network).items()}
    epochs.append({"epoch": epoch, "training_loss": last["loss"], "held_out_loss": loss})
    atomic_save(kept, folder / FILE_NAME)
    return {} if loss is None else {"held_out_loss": loss}
