"""What happens around the training loop: checkpoints, validation, precise BatchNorm, bad videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats
from torch import Tensor

from ..data import BadVideoLog
from ..distributed import is_main_process
from .checkpoint import save_checkpoint
from .parallel import broadcast_buffers

if TYPE_CHECKING:
    from .metric_log import MetricLog
    from .trainer import Trainer

#: Measures the recognizer being trained; figures by name (in the main process). Called in all processes.
Validate = Callable[[], Mapping[str, float]]


class Hook:
    """Something to do at four points of a run; hooks run in the order in which they are registered, in every
    process."""

    def before_train(self, trainer: Trainer) -> None:
        """Before the first epoch of this run."""

    def after_step(self, trainer: Trainer) -> None:
        """After each step; ``trainer.last`` describes it."""

    def after_epoch(self, trainer: Trainer) -> None:
        """After each epoch; ``trainer.epoch`` already counts it."""

    def after_train(self, trainer: Trainer) -> None:
        """At the end, also after an error: only for giving things back."""


def is_due(trainer: Trainer, period: int) -> bool:
    """Whether something that happens every ``period`` epochs (0: never) and at the end of the run happens now."""
    return period > 0 and (trainer.epoch % period == 0 or trainer.epoch == trainer.max_epochs)


class BadVideos(Hook):
    """Records the videos that the loader had to replace, and ends the run when they are too many."""

    def __init__(self, log: BadVideoLog) -> None:
        self.log = log

    def after_step(self, trainer: Trainer) -> None:
        """Take those of this step's mini-batches."""
        for batch in trainer.window:
            self.log.seen(len(batch.names))
            for video in batch.bad:
                self.log.add(video)

    def after_epoch(self, trainer: Trainer) -> None:
        """Raise DataError where more than ``DATA.MAX_BAD_FRACTION`` of the files seen are bad."""
        self.log.check()


class PreciseBatchNorm(Hook):
    """Replaces BatchNorm's running averages by averages over ``BN.NUM_BATCHES_PRECISE`` mini-batches and fixed weights,
    before each checkpoint and each validation. In several processes they are those of process 0's mini-batches."""

    def after_epoch(self, trainer: Trainer) -> None:
        """Recompute where a checkpoint or a validation comes next."""
        cfg = trainer.cfg
        if not (is_due(trainer, cfg.TRAIN.CHECKPOINT_PERIOD) or is_due(trainer, cfg.TRAIN.EVAL_PERIOD)):
            return
        if is_main_process() and get_bn_modules(trainer.recognizer):
            count = min(cfg.BN.NUM_BATCHES_PRECISE, len(trainer.loader))
            clips = _clips(trainer, count)
            with trainer.settings.autocast():
                update_bn_stats(trainer.recognizer, clips, count)
        broadcast_buffers(trainer.recognizer)


def _clips(trainer: Trainer, count: int) -> Iterator[Tensor]:
    """The first mini-batches of the epoch that has just ended."""
    for batch in islice(trainer.loader.epoch(trainer.epoch - 1), count):
        yield trainer.settings.clips(batch.clips)


class Checkpoints(Hook):
    """Saves a checkpoint every ``TRAIN.CHECKPOINT_PERIOD`` epochs and at the end.

    Attributes:
        latest: the newest one.
    """

    def __init__(self) -> None:
        self.latest: Path | None = None

    def after_epoch(self, trainer: Trainer) -> None:
        """Save where one is due."""
        if is_main_process() and is_due(trainer, trainer.cfg.TRAIN.CHECKPOINT_PERIOD):
            self.latest = save_checkpoint(trainer)


class Validation(Hook):
    """Measures every ``TRAIN.EVAL_PERIOD`` epochs and at the end.

    Attributes:
        latest: the newest figures.
    """

    def __init__(self, validate: Validate, log: MetricLog) -> None:
        self.validate = validate
        self.log = log
        self.latest: dict[str, float] = {}

    def after_epoch(self, trainer: Trainer) -> None:
        """Measure where it is due."""
        if is_due(trainer, trainer.cfg.TRAIN.EVAL_PERIOD):
            self.latest = dict(self.validate())
            self.log.write(trainer, "validation", self.latest)
