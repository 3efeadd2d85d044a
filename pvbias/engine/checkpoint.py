"""Training checkpoints in SlowFast's format, with everything that an exact resume needs; written atomically."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from fvcore.common.config import CfgNode
from torch import Tensor

from ..checkpoint_files import checkpoint_folder, checkpoint_path, find_checkpoints
from ..config import complete
from ..distributed import all_gather_objects, barrier, get_rank, get_world_size, is_main_process
from ..errors import ConfigError, WeightsError
from ..versions import versions
from ..zoo import atomic_save, extra_heads_state, model_state, peek_checkpoint, read_checkpoint
from .identity import Identity, refuse_another, training_identity
from .seeding import generator_states
from .state import RunningPhase, TrainState

logger = logging.getLogger(__name__)

#: What a training checkpoint holds at least; see :func:`save_checkpoint`.
KEYS = ("model_state", "optimizer_state", "epoch", "cfg", "other_optimizer_states", "objective_state", "scaler_state")


def save_checkpoint(state: TrainState) -> Path:
    """Write a checkpoint of the training, after an epoch or inside one; call in all processes.

    As in SlowFast: ``model_state`` (the bare zoo module's weights), ``optimizer_state``, ``epoch`` (of the latest
    finished one, counted from 0; the file name counts from 1) and ``cfg`` (YAML text). Beside them
    ``other_optimizer_states`` (by phase), ``objective_state`` (auxiliary networks), ``extra_heads`` and
    ``head_classes`` (:func:`pvbias.zoo.extra_heads_state`), ``scaler_state``, ``step`` (finished ones
    of the epoch at work), ``plan`` (what ``step`` counts), ``class_names`` (in label order, empty where the labels have
    none), ``identity`` (:mod:`.identity`), ``versions``, ``precision``, ``history`` (what has changed on the way, in
    words) and ``processes``: for each its random generators, what its hooks have counted, and its BatchNorm statistics
    where they are not those of process 0. ``torch.load(path, weights_only=True)`` reads it.

    Once it is there, earlier ones inside an epoch are removed, and all but the last ``TRAIN.CHECKPOINT_KEEP`` of those
    after an epoch; and those that are further on, which a training has left that this one has begun anew over.

    Raises:
        TrainingError: the latest step was not finite (:attr:`.StepRecord.metrics`).
        WeightsError: it cannot be written; the earlier ones are as they were.
    """
    path = begin_checkpoint(state)()
    barrier()  # nobody leaves before it is written
    return path


def begin_checkpoint(state: TrainState) -> Callable[[], Path]:
    """Collect the state from all processes; the returned function writes the checkpoint, in the main process alone, as
    long as nothing is trained. See :func:`save_checkpoint`."""
    output_dir, keep = state.cfg.OUTPUT_DIR, state.cfg.TRAIN.CHECKPOINT_KEEP
    here = (state.epoch, state.step)
    path = checkpoint_path(output_dir, *here)
    checkpoint = _checkpoint(state)

    def write() -> Path:
        if is_main_process():
            atomic_save(checkpoint, path)
            earlier = [(place, other) for place, other in find_checkpoints(output_dir) if place < here]
            finished = [other for (_, step), other in earlier if step == 0]
            # The one just written is among those that are kept, where it is after an epoch.
            kept = finished[: keep - (here[1] == 0)] if keep else finished
            later = [other for place, other in find_checkpoints(output_dir) if place > here]
            further_on = [other for other in later if _is_trainings(other)]
            if further_on:
                logger.warning("Checkpoints of an earlier training are removed: %s", ", ".join(map(str, further_on)))
            for other in {*(other for _, other in earlier), *further_on} - {*kept}:
                other.unlink(missing_ok=True)
        return path

    return write


def best_path(output_dir: str) -> Path:
    """The path of the checkpoint after the epoch with the best validation."""
    return checkpoint_folder(output_dir) / "checkpoint_best.pyth"


def save_best(state: TrainState) -> None:
    """Write the state as the best checkpoint; call in all processes.

    Raises:
        WeightsError: it cannot be written; the earlier one is as it was.
    """
    checkpoint = _checkpoint(state)
    if is_main_process():
        atomic_save(checkpoint, best_path(state.cfg.OUTPUT_DIR))


def newest_checkpoint(output_dir: str) -> Path | None:
    """The latest whole training checkpoint in a run's folder; None when there is none.

    One that cannot be read is passed over with a warning that names it. Whether the values of its tensors are what was
    written is seen where they are read.
    """
    found = _newest(output_dir, peek_checkpoint)
    return found[0] if found else None


def remove_unfinished(output_dir: str) -> None:
    """Remove the temporary files of a process that died while it wrote a checkpoint."""
    for path in checkpoint_folder(output_dir).glob("checkpoint_*.pyth.*.tmp"):
        path.unlink(missing_ok=True)


def refuse_another_training(cfg: CfgNode, identity: Identity) -> None:
    """Raise ConfigError where ``TRAIN.AUTO_RESUME`` would resume from a checkpoint of another training: as
    :func:`resume` does, and before anything in ``OUTPUT_DIR`` is changed. Call in all processes."""
    said = ""
    if cfg.TRAIN.AUTO_RESUME and is_main_process():
        found = _newest(cfg.OUTPUT_DIR, peek_checkpoint)
        try:
            if found:
                refuse_another(cfg, identity, found[1], found[0])
        except ConfigError as error:
            said = str(error)
    said = all_gather_objects(said)[0]
    if said:
        raise ConfigError(said)


def refuse_another_configuration(cfg: CfgNode) -> None:
    """:func:`refuse_another_training` by the keys alone, without a look at the videos: for whoever submits a run that
    is to start elsewhere, later.

    Args:
        cfg: checked, not completed.
    """
    found = _newest(cfg.OUTPUT_DIR, peek_checkpoint) if cfg.TRAIN.ENABLE and cfg.TRAIN.AUTO_RESUME else None
    if found:
        path, checkpoint = found
        classes = yaml.safe_load(checkpoint["cfg"])["MODEL"]["NUM_CLASSES"]
        completed = complete(cfg, num_classes=classes)
        refuse_another(completed, training_identity(completed, {}), checkpoint, path)


def resume(state: TrainState) -> Path | None:
    """Restore the state from the newest checkpoint of ``OUTPUT_DIR``; call in all processes.

    With as many processes as wrote it a run goes on bit for bit. With more or fewer it sees the same videos in the
    same order, but rounds sums differently and draws other random numbers; the log says so.

    Returns:
        The checkpoint, or None when there is none to go on from.

    Raises:
        ConfigError: it is of another training (:mod:`.identity`).
        WeightsError: it does not fit, or is inside an epoch that is cut into other steps.
    """
    output_dir = state.cfg.OUTPUT_DIR
    own = _newest(output_dir, read_checkpoint) if is_main_process() else None
    path = all_gather_objects(own[0] if own else None)[0]
    if path is None:
        return None
    checkpoint = own[1] if own else read_checkpoint(str(path))
    changed = refuse_another(state.cfg, state.identity, checkpoint, path)
    _check_plan(state, checkpoint, path)
    try:
        _restore(state, checkpoint)
    # load_state_dict's words for a state of other networks (RuntimeError) or of another optimizer (the others)
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(
            f"TRAIN.AUTO_RESUME: {str(path)!r} does not fit this run's model, objective or optimizer. Choose another "
            f"OUTPUT_DIR, or set TRAIN.AUTO_RESUME to False to start anew (and overwrite it). Found: {error}"
        ) from error
    _take_up_history(state, checkpoint, changed)
    return path


def _take_up_history(state: TrainState, checkpoint: Mapping[str, Any], changed: Sequence[str]) -> None:
    """Record what has changed since the checkpoint, for the log and the results."""
    notes = list(changed)
    if state.iteration < state.max_iterations:
        was, now = checkpoint.get("versions", {}), versions()
        notes += [f"{name} {was[name]} -> {now[name]}" for name in was if name in now and was[name] != now[name]]
        precision = checkpoint.get("precision", state.settings.precision)
        if precision != state.settings.precision:
            notes.append(f"precision {precision} -> {state.settings.precision}")
        processes = len(checkpoint.get("processes", ())) or get_world_size()
        if processes != get_world_size():
            notes.append(f"processes {processes} -> {get_world_size()}")
    state.history = [*checkpoint.get("history", ())]
    if notes:
        place = f"epoch {state.epoch}" + (f" and {state.step} steps" if state.step else "")
        state.history.append(f"after {place}: {', '.join(notes)}")
        if is_main_process():
            logger.warning("The training is not what it was before this checkpoint: %s", ", ".join(notes))


def _checkpoint(state: TrainState) -> dict[str, Any]:
    """The content of a checkpoint; to be called in all processes, complete in the main one."""
    _ = state.last.metrics  # raises where the latest step was not finite: nothing is saved after that
    main = _main_phase(state)
    buffers = {name: value.detach().cpu() for name, value in _buffers(state)}
    processes = all_gather_objects(
        {
            "generators": generator_states(),
            "buffers": {} if is_main_process() else buffers,
            "hooks": {type(hook).__name__: hook.state() for hook in state.hooks},
        }
    )
    for process in processes:
        process["buffers"] = {
            name: value for name, value in process["buffers"].items() if not torch.equal(value, buffers[name])
        }
    return {
        "model_state": model_state(state.recognizer),
        "optimizer_state": main.optimizer.state_dict(),
        "epoch": state.epoch - 1,
        "cfg": state.cfg.dump(),
        "other_optimizer_states": {
            running.phase.name: running.optimizer.state_dict() for running in state.phases if running is not main
        },
        "objective_state": state.objective.state_dict(),
        **extra_heads_state(state.recognizer),
        "scaler_state": state.scaler.state_dict(),
        "step": state.step,
        "plan": _plan(state),
        "class_names": list(state.class_names),
        "identity": state.identity,
        "versions": versions(),
        "precision": state.settings.precision,
        "history": state.history,
        "processes": processes,
    }


def _restore(state: TrainState, checkpoint: Mapping[str, Any]) -> None:
    main = _main_phase(state)
    state.recognizer.module.load_state_dict(checkpoint["model_state"])
    state.recognizer.extra_heads.load_state_dict(checkpoint.get("extra_heads", {}))
    state.objective.load_state_dict(checkpoint["objective_state"])
    for running in state.phases:
        name = running.phase.name
        running.optimizer.load_state_dict(
            checkpoint["optimizer_state"] if running is main else checkpoint["other_optimizer_states"][name]
        )
    if state.scaler.is_enabled() and checkpoint["scaler_state"]:
        state.scaler.load_state_dict(checkpoint["scaler_state"])
    state.epoch = checkpoint["epoch"] + 1
    position = state.epoch * state.steps_per_epoch + checkpoint.get("step", 0)
    state.iteration = min(position, state.max_iterations)
    processes = checkpoint.get("processes", [])  # none in checkpoints of before there were any inside an epoch
    if len(processes) == get_world_size():
        mine = processes[get_rank()]
        state.generators = mine["generators"]
        buffers = dict(_buffers(state))
        for name, value in mine["buffers"].items():
            buffers[name].copy_(value)
    elif processes and is_main_process():
        logger.warning(
            "The checkpoint is of %d processes, and there are %d now: the videos and their order are the same, but "
            "from here on the run is not bit for bit what it would have been.",
            len(processes),
            get_world_size(),
        )
    for hook in state.hooks:
        states = [process["hooks"].get(type(hook).__name__) for process in processes]
        if states and all(states):
            hook.restore(states)


def _check_plan(state: TrainState, checkpoint: Mapping[str, Any], path: Path) -> None:
    if not checkpoint.get("step"):
        return
    now = _plan(state)
    changed = [f"{key} was {value} and is {now[key]}" for key, value in checkpoint["plan"].items() if value != now[key]]
    if changed:
        raise WeightsError(
            f"TRAIN.AUTO_RESUME: {str(path)!r} was written inside an epoch, which this run divides otherwise: "
            f"{', '.join(changed)}. Set it as it was; or delete the file, to go on after the last finished epoch."
        )


def _plan(state: TrainState) -> dict[str, int]:
    """The settings that decide which videos each step of an epoch has."""
    return {
        "RNG_SEED": state.cfg.RNG_SEED,
        "TRAIN.BATCH_SIZE": state.cfg.TRAIN.BATCH_SIZE,
        "TRAIN.ACCUMULATE_STEPS": state.cfg.TRAIN.ACCUMULATE_STEPS,
        "the number of mini-batches": len(state.loader),
    }


def _buffers(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    """Buffers that each process has its own values of inside an epoch, see :func:`.parallel.broadcast_buffers`."""
    yield from state.recognizer.module.named_buffers("recognizer")
    yield from state.objective.named_buffers("objective")


def _main_phase(state: TrainState) -> RunningPhase:
    """The phase whose optimizer is SlowFast's one ``optimizer_state``: the one that updates the recognizer."""
    for running in state.phases:
        if running.updates_recognizer:
            return running
    return state.phases[0]


def is_training_checkpoint(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint, as read, is a training's, and not weights alone."""
    return checkpoint.keys() >= set(KEYS)


def _is_trainings(path: Path) -> bool:
    """Whether a file is a training checkpoint, and not weights that somebody has put there."""
    try:
        return is_training_checkpoint(peek_checkpoint(str(path)))
    except WeightsError:
        return False


def _newest(output_dir: str, read: Callable[[str], dict[str, Any]]) -> tuple[Path, dict[str, Any]] | None:
    """The latest checkpoint that ``read`` can read, and what it gives."""
    for _, path in find_checkpoints(output_dir):
        try:
            checkpoint = read(str(path))
        except WeightsError as error:
            logger.warning("Checkpoint %s is broken and passed over: %s", path, error)
            continue
        missing = [key for key in KEYS if key not in checkpoint]
        if not missing:
            return path, checkpoint
        logger.warning("Checkpoint %s is passed over: it has no %s", path, ", ".join(missing))
    return None
