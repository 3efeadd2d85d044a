"""Training checkpoints: SlowFast's shape, whole or not at all, and everything that going on takes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..distributed import all_gather_objects, is_main_process
from ..errors import WeightsError
from ..zoo import atomic_save, model_state, read_checkpoint

if TYPE_CHECKING:
    from .trainer import RunningPhase, Trainer

logger = logging.getLogger(__name__)

#: What a training checkpoint holds; see :func:`save_checkpoint`.
KEYS = ("model_state", "optimizer_state", "epoch", "cfg", "other_optimizer_states", "objective_state", "scaler_state")


def checkpoint_path(output_dir: str, epoch: int) -> Path:
    """Where the checkpoint after ``epoch`` finished epochs is."""
    return Path(output_dir) / "checkpoints" / f"checkpoint_epoch_{epoch:05d}.pyth"


def save_checkpoint(trainer: Trainer) -> Path:
    """Write the checkpoint of the trainer's latest epoch.

    As in SlowFast: ``model_state`` (the bare zoo module's weights), ``optimizer_state``, ``epoch`` (of the latest
    finished one, counted from 0; the file name counts from 1) and ``cfg`` (YAML text). Beside them
    ``other_optimizer_states`` (by phase), ``objective_state`` (auxiliary networks) and ``scaler_state``. In several
    processes BatchNorm's running statistics are those of process 0. ``torch.load(path, weights_only=True)`` reads it.

    Raises:
        WeightsError: it cannot be written.
    """
    main = _main_phase(trainer)
    state = {
        "model_state": model_state(trainer.recognizer),
        "optimizer_state": main.optimizer.state_dict(),
        "epoch": trainer.epoch - 1,
        "cfg": trainer.cfg.dump(),
        "other_optimizer_states": {
            running.phase.name: running.optimizer.state_dict() for running in trainer.phases if running is not main
        },
        "objective_state": trainer.objective.state_dict(),
        "scaler_state": trainer.scaler.state_dict(),
    }
    return atomic_save(state, checkpoint_path(trainer.cfg.OUTPUT_DIR, trainer.epoch))


def newest_checkpoint(output_dir: str) -> Path | None:
    """The training checkpoint of a run's folder that is furthest on and whole; None when there is none.

    One that cannot be read is passed over with a warning that names it.
    """
    found = _newest(output_dir)
    return found[0] if found else None


def resume(trainer: Trainer) -> Path | None:
    """Bring the trainer to where the newest checkpoint of ``OUTPUT_DIR`` was written; call in all processes.

    Returns:
        The checkpoint, or None when there is none to go on from.

    Raises:
        WeightsError: it is of another model or objective.
    """
    output_dir = trainer.cfg.OUTPUT_DIR
    own = _newest(output_dir) if is_main_process() else None
    path = all_gather_objects(own[0] if own else None)[0]
    if path is None:
        return None
    checkpoint = own[1] if own else read_checkpoint(str(path))
    try:
        _restore(trainer, checkpoint)
    # load_state_dict's words for a state of other networks (RuntimeError) or of another optimizer (the others)
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(
            f"TRAIN.AUTO_RESUME: {str(path)!r} does not fit this run's model, objective or optimizer. Choose another "
            f"OUTPUT_DIR, or set TRAIN.AUTO_RESUME to False to start anew (and overwrite it). Found: {error}"
        ) from error
    return path


def _restore(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    main = _main_phase(trainer)
    trainer.recognizer.module.load_state_dict(checkpoint["model_state"])
    trainer.objective.load_state_dict(checkpoint["objective_state"])
    for running in trainer.phases:
        name = running.phase.name
        state = checkpoint["optimizer_state"] if running is main else checkpoint["other_optimizer_states"][name]
        running.optimizer.load_state_dict(state)
    if trainer.scaler.is_enabled() and checkpoint["scaler_state"]:
        trainer.scaler.load_state_dict(checkpoint["scaler_state"])
    trainer.epoch = checkpoint["epoch"] + 1
    trainer.iteration = min(trainer.epoch * trainer.steps_per_epoch, trainer.max_iterations)


def _main_phase(trainer: Trainer) -> RunningPhase:
    """The phase whose optimizer is SlowFast's one ``optimizer_state``: the one that updates the recognizer."""
    for running in trainer.phases:
        if running.updates_recognizer:
            return running
    return trainer.phases[0]


def _newest(output_dir: str) -> tuple[Path, dict[str, Any]] | None:
    folder = checkpoint_path(output_dir, 0).parent
    for path in sorted(folder.glob("checkpoint_epoch_*.pyth"), reverse=True):
        try:
            checkpoint = read_checkpoint(str(path))
        except WeightsError as error:
            logger.warning("Checkpoint %s is broken and passed over: %s", path, error)
            continue
        missing = [key for key in KEYS if key not in checkpoint]
        if not missing:
            return path, checkpoint
        logger.warning("Checkpoint %s is passed over: it has no %s", path, ", ".join(missing))
    return None
