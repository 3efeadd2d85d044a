"""Training from a configuration: assembles loader, objective, trainer and hooks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from ..context import Context
from ..data import BadVideoLog, VideoSource, build_train_loader, choose_streams
from ..data.lookup import check_attributes
from ..distributed import barrier, get_rank, get_world_size, is_main_process
from ..errors import ConfigError, DataError
from ..models.batch_norm import synchronised
from ..models.recognizer import Recognizer
from ..needs import union
from ..runtime import choose_settings
from .checkpoint import resume
from .composition import build_objective
from .hook import Hook
from .hooks import BadVideos, Checkpoints, PreciseBatchNorm, Validate, Validation
from .identity import Identity, identify, with_attributes
from .metric_log import MetricLog
from .objective import Objective
from .seeding import seed_everything
from .state import batch_norms
from .trainer import Trainer
from .transform import build_transforms, check_transforms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """The outcome of a training.

    Attributes:
        epochs: finished epochs, those before a resume included.
        iterations: finished steps, likewise.
        seconds: wall time of this run's part.
        metrics: the last logged training means (empty when nothing was left to train).
        validation: the last validation's figures.
        checkpoint: the last checkpoint (main process).
        resumed_from: the checkpoint this run went on from.
        history: what was another way before a checkpoint that the training has gone on from, in words.
        bad_videos: how many there were, see :meth:`pvbias.data.BadVideoLog.summary`.
        settings: memory format, precision, threads, ... (:meth:`pvbias.runtime.Settings.describe`).
        objective: its name, and what it says of itself (:attr:`.Objective.description`).
    """

    epochs: int
    iterations: int
    seconds: float
    metrics: Mapping[str, float]
    validation: Mapping[str, float]
    checkpoint: Path | None
    resumed_from: Path | None
    history: Sequence[str]
    bad_videos: Mapping[str, Any]
    settings: Mapping[str, str]
    objective: str


def train(
    cfg: CfgNode,
    recognizer: Recognizer,
    train_source: VideoSource,
    *,
    objective: Callable[[CfgNode, Recognizer], Objective] = build_objective,
    labelled: bool = True,
    streams: Mapping[str, VideoSource] | None = None,
    validate: Validate | None = None,
    identity: Identity | None = None,
) -> TrainSummary:
    """Train a recognizer as the configuration says; call in every process of the run.

    The recognizer is trained in place, and moved to the device and into the memory format chosen for training. With
    ``TRAIN.AUTO_RESUME`` the run goes on from the newest checkpoint in ``OUTPUT_DIR``, whatever weights the recognizer
    came with. Killed at any step and started again, it logs what it would have logged.

    Writes ``OUTPUT_DIR/checkpoints``, ``train_log.jsonl``, ``tensorboard`` and ``bad_videos.jsonl``.

    Args:
        cfg: completed configuration.
        recognizer: the model, with the weights to start from.
        train_source: the training videos.
        objective: makes what training minimises.
        labelled: its steps have labels.
        streams: the videos of the other streams, by name (:func:`pvbias.data.build_stream`).
        validate: measures the recognizer, every ``TRAIN.EVAL_PERIOD`` epochs; figures by name.
        identity: what decides the result; a checkpoint of another one is not gone on from. None: that of the
            configuration and the training videos.

    Raises:
        ConfigError: ``OUTPUT_DIR`` holds another training (:mod:`.identity`), a stream that the objective needs is not
            configured, or BN.NORM_TYPE does not fit the model.
        DataError: no mini-batch to train on, too many bad videos, or an attribute that the objective needs and no
            video has.
        Interrupted: it was asked to stop (:func:`pvbias.interruption.request_stop`), and has, with a checkpoint.
        TrainingError: a loss is not finite.
        WeightsError: the checkpoint to resume from is of another model.
    """
    started = time.perf_counter()
    if cfg.BN.NORM_TYPE == "sync_batchnorm" and not batch_norms(recognizer):
        raise ConfigError("BN.NORM_TYPE = 'sync_batchnorm': the model has no BatchNorm. Leave it at 'batchnorm'.")
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    seed_everything(cfg.RNG_SEED)  # the objective's own networks start the same whatever came before
    made = objective(cfg, recognizer)
    transforms = build_transforms(cfg, recognizer)
    needs = union([made.needs, *(transform.needs for transform in transforms)])
    named = list(zip(cfg.TRAIN.TRANSFORMS, transforms, strict=True))
    check_transforms(named, made.needs)
    recognizer.check_features(made.needs.features)
    others = choose_streams(cfg, needs.streams, streams or {})
    sources = {"train": train_source, **others}
    check_attributes([*sources.values()], made.needs.attributes, f"OBJECTIVE.NAME {cfg.OBJECTIVE.NAME!r}")
    for name, transform in named:
        check_attributes([*sources.values()], transform.needs.attributes, f"TRAIN.TRANSFORMS {name!r}")
    settings.place(made)
    context = Context(cfg, settings)
    for transform in transforms:
        transform.prepare(context)
    made.prepare(context)
    settings.place(made)  # with what it has made
    name = cfg.OBJECTIVE.NAME if objective is build_objective else ""
    described = ": ".join(filter(None, [name, made.description]))
    if is_main_process():
        logger.info("Training with %s", described)
    loader = build_train_loader(
        cfg,
        train_source,
        rank=get_rank(),
        world_size=get_world_size(),
        tracks=needs.tracks,
        labelled=labelled,
        streams=others,
    )
    if len(loader) == 0:
        raise DataError(
            f"There is no mini-batch to train on: the training split has {len(train_source.records)} videos, and "
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE}."
        )
    trainer = Trainer(cfg, recognizer, made, loader, settings, transforms)
    trainer.class_names = train_source.class_names
    identity = identify(cfg, {"train": train_source, **(streams or {})}) if identity is None else identity
    trainer.identity = with_attributes(identity, sources, needs.attributes)
    log, checkpoints = MetricLog(), Checkpoints()
    validation = Validation(validate, log) if validate is not None else None
    bad_log = BadVideoLog(cfg.OUTPUT_DIR, cfg.DATA.MAX_BAD_FRACTION)
    hooks: list[Hook] = [log, BadVideos(bad_log)]
    if cfg.BN.USE_PRECISE_STATS:
        hooks.append(PreciseBatchNorm())
    # The checkpoint first: a validation that fails must not cost the epoch.
    hooks.append(checkpoints)
    if validation is not None:
        hooks.append(validation)
    trainer.hooks = hooks
    resumed_from = resume(trainer) if cfg.TRAIN.AUTO_RESUME else None
    if resumed_from is not None and is_main_process():
        logger.info("Going on after step %d of %d, from %s", trainer.iteration, trainer.max_iterations, resumed_from)
    synchronising = synchronised(recognizer, made) if cfg.BN.NORM_TYPE == "sync_batchnorm" else nullcontext()
    with synchronising:
        trainer.train()
    barrier()  # what the main process has written is there for all of them
    return TrainSummary(
        epochs=trainer.epoch,
        iterations=trainer.iteration,
        seconds=time.perf_counter() - started,
        metrics=log.latest,
        validation=validation.latest if validation else {},
        checkpoint=checkpoints.latest or resumed_from,
        resumed_from=resumed_from,
        history=trainer.history,
        bad_videos=bad_log.summary(),
        settings=settings.describe(recognizer),
        objective=described,
    )
