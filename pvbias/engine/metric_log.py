"""Training figures to the console, to ``train_log.jsonl`` and to TensorBoard."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from ..distributed import all_gather_objects, is_main_process
from ..errors import ConfigError
from .hooks import Hook

if TYPE_CHECKING:
    from .trainer import Trainer

logger = logging.getLogger(__name__)

FILE_NAME = "train_log.jsonl"


class MetricLog(Hook):
    """Logs means over the steps since the last line, and over the processes, every ``LOG_PERIOD`` steps and at the end
    of an epoch.

    A line of ``OUTPUT_DIR/train_log.jsonl`` has ``kind`` (``start``, ``train`` or ``validation``), ``epoch``
    (fractional), ``iteration``, and for ``train`` the objective's scalars, ``grad_norm``, ``lr``, ``data_seconds`` (a
    step's wait for the loader), ``compute_seconds`` and ``eta_seconds``. A number that is not finite is null. Runs that
    are resumed append.

    Attributes:
        latest: the metrics of the newest ``train`` line.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self._file: IO[str] | None = None
        self._tensorboard: Any = None
        self._bar: tqdm | None = None
        self._forget()

    def before_train(self, trainer: Trainer) -> None:
        """Open the outputs (main process)."""
        self._started, self._first_iteration = time.perf_counter(), trainer.iteration
        if not is_main_process():
            return
        folder = Path(trainer.cfg.OUTPUT_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / FILE_NAME).open("a", encoding="utf-8")
        if trainer.cfg.TENSORBOARD.ENABLE:
            self._tensorboard = _summary_writer(folder / "tensorboard")
        if sys.stderr.isatty():
            total = trainer.max_iterations
            self._bar = tqdm(total=total, initial=trainer.iteration, desc="training", unit="step", dynamic_ncols=True)
        self.write(trainer, "start", {"settings": trainer.settings.describe()})

    def after_step(self, trainer: Trainer) -> None:
        """Collect; at the end of a period, log."""
        for name, value in trainer.last.metrics.items():
            self._sums[name] += value
        self._data_seconds += trainer.last.data_seconds
        self._compute_seconds += trainer.last.compute_seconds
        self._steps += 1
        if self._bar is not None:
            self._bar.update()
        in_epoch = trainer.iteration % trainer.steps_per_epoch
        if (
            trainer.iteration % trainer.cfg.LOG_PERIOD == 0
            or in_epoch == 0
            or trainer.iteration == trainer.max_iterations
        ):
            self._log(trainer)

    def after_train(self, trainer: Trainer) -> None:
        """Close the outputs."""
        for output in (self._file, self._tensorboard, self._bar):
            if output is not None:
                output.close()
        self._file = self._tensorboard = self._bar = None

    def write(self, trainer: Trainer, kind: str, values: Mapping[str, Any]) -> None:
        """One line of the log (main process; nothing elsewhere)."""
        if self._file is None:
            return
        line = {"kind": kind, "epoch": round(trainer.fractional_epoch, 6), "iteration": trainer.iteration, **values}
        self._file.write(json.dumps({key: _json_number(value) for key, value in line.items()}) + "\n")
        self._file.flush()
        if self._tensorboard is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self._tensorboard.add_scalar(f"{kind}/{name}", value, trainer.iteration)
        if kind == "validation":
            logger.info("epoch %d: validation: %s", trainer.epoch, _text(values))

    def _log(self, trainer: Trainer) -> None:
        means = {name: total / self._steps for name, total in self._sums.items()}
        everywhere = all_gather_objects(means)
        self.latest = {name: sum(other[name] for other in everywhere) / len(everywhere) for name in means}
        done, left = trainer.iteration - self._first_iteration, trainer.max_iterations - trainer.iteration
        timing = {
            "data_seconds": self._data_seconds / self._steps,
            "compute_seconds": self._compute_seconds / self._steps,
            "eta_seconds": (time.perf_counter() - self._started) / done * left,
        }
        self._forget()
        self.write(trainer, "train", {**self.latest, **trainer.learning_rates, **timing})
        if not is_main_process():
            return
        shown = {name: value for name, value in self.latest.items() if not name.endswith("grad_norm")}
        times = f"data {timing['data_seconds']:.3f} s, compute {timing['compute_seconds']:.3f} s a step"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{_text(shown)}, {times}")
        else:
            eta = timedelta(seconds=round(timing["eta_seconds"]))
            logger.info(
                "epoch %.2f of %g, step %d of %d: %s (%s, %s left)",
                trainer.fractional_epoch,
                trainer.cfg.SOLVER.MAX_EPOCH,
                trainer.iteration,
                trainer.max_iterations,
                _text(shown),
                times,
                eta,
            )

    def _forget(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._data_seconds = self._compute_seconds = 0.0
        self._steps = 0


def _summary_writer(folder: Path) -> Any:
    # Imported here: it takes a second or more, which no run without TensorBoard should wait for.
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"TENSORBOARD.ENABLE: TensorBoard cannot be imported ({error}). Install `tensorboard`, or set it to False."
        ) from error
    return SummaryWriter(str(folder))


def _json_number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
