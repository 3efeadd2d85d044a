"""The built-in hooks: checkpoints, validation, precise BatchNorm, bad videos."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch import Tensor, nn

from ..data import BadVideo, BadVideoLog
from ..distributed import agree, agreed, all_gather_objects, get_rank, get_world_size, is_main_process
from ..errors import ConfigError, did_you_mean
from ..interruption import Interrupted, abandonable, stop_requested
from ..models.batch_norm import synchronised
from ..transfers import is_asynchronous
from .checkpoint import begin_checkpoint, best_path, remove_unfinished, save_best, save_checkpoint
from .hook import Hook, is_due
from .metric_log import MetricLog
from .parallel import broadcast_buffers
from .seeding import restore_generators
from .state import TrainState

#: What a line of the log has beside its figures.
LINE_KEYS = ("kind", "epoch", "iteration")

#: Measures the recognizer being trained; figures by name (in the main process). Called in all processes.
Validate = Callable[[], Mapping[str, float]]


class BadVideos(Hook):
    """Records the videos that the loader had to replace, and ends the run when they are too many."""

    def __init__(self, log: BadVideoLog) -> None:
        self.log = log
        self._good = 0
        self._bad: Counter[BadVideo] = Counter()

    def after_step(self, state: TrainState) -> None:
        """Count the videos of this step's mini-batches."""
        for batch in state.window:
            for each in (batch, *batch.streams.values()):
                self._add(len(each.names), each.bad)

    def _add(self, good: int, bad: Sequence[BadVideo]) -> None:
        self._good += good
        self._bad.update(bad)
        self.log.seen(good)
        for video in bad:
            self.log.add(video)

    def state(self) -> dict[str, Any]:
        """All videos so far."""
        return {"good": self._good, "bad": [[asdict(video), times] for video, times in self._bad.items()]}

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Count the earlier ones again; with another number of processes the main one has them all."""
        if len(states) == get_world_size():
            states = states[get_rank() :][:1]
        elif not is_main_process():
            return
        for counts in states:
            self._add(counts["good"], [BadVideo(**video) for video, times in counts["bad"] for _ in range(times)])

    def after_epoch(self, state: TrainState) -> None:
        """Raise DataError where more than ``DATA.MAX_BAD_FRACTION`` of the files seen are bad."""
        self.log.check()


class PreciseBatchNorm(Hook):
    """Replaces BatchNorm's running averages by averages over ``BN.NUM_BATCHES_PRECISE`` mini-batches and fixed weights,
    before each checkpoint and each validation. Several processes go through these mini-batches together, each with its
    own clips of them, to the averages of a single one."""

    def after_epoch(self, state: TrainState) -> None:
        """Recompute where a checkpoint or a validation comes next."""
        cfg = state.cfg
        if not (is_due(state, cfg.TRAIN.CHECKPOINT_PERIOD) or is_due(state, cfg.TRAIN.EVAL_PERIOD)):
            return
        layers = get_bn_modules(state.recognizer)
        if not layers:
            return
        count = min(cfg.BN.NUM_BATCHES_PRECISE, len(state.loader))
        clips = _clips(state, count)
        with synchronised(state.recognizer), _undone_as_own(layers), state.settings.autocast():
            update_bn_stats(state.recognizer, clips, count)
        broadcast_buffers(state.recognizer)


@contextmanager
def _undone_as_own(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Let fvcore find the variance of a whole mini-batch: it knows of this process's values alone when it turns the
    unbiased variance (of a layer with a momentum of 1) into that of the values themselves."""

    def correct(layer: nn.Module, inputs: tuple[Tensor, ...], _: Any) -> None:
        own = inputs[0].numel() // inputs[0].shape[1]
        if own == 1:
            raise ConfigError(
                "BN.USE_PRECISE_STATS: a BatchNorm layer sees one value a channel in each process. Make "
                "TRAIN.BATCH_SIZE larger, or take fewer processes."
            )
        whole = own * get_world_size()
        layer.running_var.mul_((whole - 1) / whole * own / (own - 1))  # type: ignore[union-attr, operator]

    hooks = [layer.register_forward_hook(correct) for layer in layers if get_world_size() > 1]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _clips(state: TrainState, count: int) -> Iterator[Tensor]:
    """The first mini-batches of the epoch that has just ended."""
    for batch in islice(state.loader.epoch(state.epoch - 1), count):
        yield state.settings.clips(batch.clips)


class Checkpoints(Hook):
    """Saves a checkpoint every ``TRAIN.CHECKPOINT_PERIOD`` epochs and at the end; inside an epoch where the last one is
    ``TRAIN.CHECKPOINT_MINUTES`` old, and where the run is asked to stop.

    Attributes:
        latest: the newest one.
    """

    def __init__(self) -> None:
        self.latest: Path | None = None
        self._saved_at = 0.0
        self._asked: Callable[[], int] | None = None

    def before_train(self, state: TrainState) -> None:
        """Remove leftovers of an earlier attempt, or of an earlier training that this one starts over."""
        self._saved_at = time.monotonic()
        if is_main_process():
            remove_unfinished(state.cfg.OUTPUT_DIR)
            if not state.iteration:
                best_path(state.cfg.OUTPUT_DIR).unlink(missing_ok=True)

    def after_step(self, state: TrainState) -> None:
        """Save a checkpoint where one is overdue, or on request, which then raises Interrupted."""
        minutes = state.cfg.TRAIN.CHECKPOINT_MINUTES
        asked = self._asked
        self._asked = self._ask(state, due=0 < minutes * 60 <= time.monotonic() - self._saved_at)
        if not (is_asynchronous(state.settings.device) and get_world_size() > 1):
            asked = self._asked  # at once; a GPU has the step before this one done when the others' answer is read
        if asked is not None:
            self._save(state, asked())

    def after_epoch(self, state: TrainState) -> None:
        """Save a checkpoint where one is due, or on request, which then raises Interrupted."""
        self._asked = None
        self._save(state, self._ask(state, due=is_due(state, state.cfg.TRAIN.CHECKPOINT_PERIOD))())

    def _ask(self, state: TrainState, *, due: bool) -> Callable[[], int]:
        """What all processes together wish, 0: to go on, 1: a checkpoint, 2: to leave with one. Their clocks differ,
        and a signal may reach one of them only."""
        return agree(2 if stop_requested() else int(due), state.settings.device)

    def _save(self, state: TrainState, wish: int) -> None:
        if wish:
            self._asked = None  # before there was this one
            self.latest = save_checkpoint(state)
            self._saved_at = time.monotonic()
        if wish == 2:
            assert self.latest is not None
            raise Interrupted(self.latest)


class Validation(Hook):
    """Evaluates every ``TRAIN.EVAL_PERIOD`` epochs and at the end, and keeps the checkpoint that is the best by
    ``TRAIN.CHECKPOINT_BEST``. Asked to stop, it gives up and saves a checkpoint: the next run evaluates.

    Attributes:
        latest: the newest figures.
    """

    def __init__(self, validate: Validate, log: MetricLog) -> None:
        self.validate = validate
        self.log = log
        self.latest: dict[str, float] = {}
        self._best = -math.inf

    def before_train(self, state: TrainState) -> None:
        """Catch up on the validation of the latest epoch where it was not finished before the resume."""
        earlier = all_gather_objects(self.log.validations)[0]
        if best_path(state.cfg.OUTPUT_DIR).exists():
            name = state.cfg.TRAIN.CHECKPOINT_BEST
            self._best = max([line[name] for line in earlier if line.get(name) is not None], default=-math.inf)
        if earlier:
            self.latest = {name: value for name, value in earlier[-1].items() if name not in LINE_KEYS}
        is_done = bool(earlier) and earlier[-1]["iteration"] == state.iteration
        if state.epoch and not state.step and not is_done:
            if state.generators is not None:
                restore_generators(state.generators)
            self.after_epoch(state)

    def after_epoch(self, state: TrainState) -> None:
        """Evaluate where it is due."""
        if not is_due(state, state.cfg.TRAIN.EVAL_PERIOD):
            return
        save = begin_checkpoint(state)
        if agreed(int(stop_requested()), state.settings.device):
            raise Interrupted(save())
        with abandonable(save):
            self.latest = dict(self.validate())
        # The line comes last: it says that all of this is done.
        self._keep_best(state)
        self.log.write(state, "validation", self.latest)

    def _keep_best(self, state: TrainState) -> None:
        name = state.cfg.TRAIN.CHECKPOINT_BEST
        if not name:
            return
        if is_main_process() and name not in self.latest:
            raise ConfigError(f"TRAIN.CHECKPOINT_BEST: no figure {name!r}. {did_you_mean(name, self.latest)}")
        value = self.latest.get(name, -math.inf)
        if all_gather_objects(value > self._best)[0]:
            self._best = value
            save_best(state)
