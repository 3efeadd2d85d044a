"""Training metrics on the console, in ``train_log.jsonl`` and in TensorBoard."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from ..distributed import all_gather_objects, get_rank, get_world_size, is_main_process
from ..errors import ConfigError, TrainingError
from ..files import write_atomically
from ..throughput import Throughput
from .hook import Hook
from .state import StepRecord, TrainState

logger = logging.getLogger(__name__)

FILE_NAME = "train_log.jsonl"


class MetricLog(Hook):
    """Logs metrics every ``LOG_PERIOD`` steps and at the end of an epoch: means over the steps since the last line, and
    over the processes.

    A line of ``OUTPUT_DIR/train_log.jsonl`` has ``kind`` (``start``, ``train`` or ``validation``), ``epoch``
    (fractional), ``iteration``, and for ``train`` the objective's scalars, ``grad_norm``, ``lr``, ``data_seconds`` (a
    step's wait for the loader), ``compute_seconds`` and ``eta_seconds``. A number that is not finite is null. A run
    that is resumed drops what was written after its checkpoint, and appends: no step is there twice.

    Attributes:
        latest: the metrics of the newest ``train`` line.
        validations: the ``validation`` lines from before this run was resumed, in the main process.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self.validations: list[dict[str, Any]] = []
        self._file: BinaryIO | None = None
        self._tensorboard: Any = None
        self._bar: tqdm | None = None
        self._last: StepRecord | None = None
        self._throughput: Throughput | None = None
        self._forget()

    def before_train(self, state: TrainState) -> None:
        """Open the outputs (main process)."""
        self._started, self._first_iteration = time.perf_counter(), state.iteration
        self._throughput = Throughput(state.settings.device)
        if not is_main_process():
            return
        folder = Path(state.cfg.OUTPUT_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        self.validations = _rewind(folder / FILE_NAME, state)
        # Unbuffered: a line is there, whole, as soon as it is written, whatever becomes of this process.
        self._file = (folder / FILE_NAME).open("ab", buffering=0)
        if state.cfg.TENSORBOARD.ENABLE:
            self._tensorboard = _summary_writer(folder / "tensorboard", state.iteration)
        if sys.stderr.isatty():
            total = state.max_iterations
            self._bar = tqdm(total=total, initial=state.iteration, desc="training", unit="step", dynamic_ncols=True)
        self.write(state, "start", {"settings": state.settings.describe(state.recognizer)})

    def after_step(self, state: TrainState) -> None:
        """Accumulate the step's metrics, and log them at the end of a period."""
        self._sum_up()
        self._last = state.last  # which a GPU has still to do: looked at when the next one is queued, or a line is due
        if self._bar is not None:
            self._bar.update()
        in_epoch = state.iteration % state.steps_per_epoch
        if state.iteration % state.cfg.LOG_PERIOD == 0 or in_epoch == 0 or state.iteration == state.max_iterations:
            self._log(state)

    def after_train(self, state: TrainState) -> None:
        """Close the outputs."""
        for output in (self._file, self._tensorboard, self._bar):
            if output is not None:
                output.close()
        self._file = self._tensorboard = self._bar = None

    def state(self) -> dict[str, Any]:
        """The sums over the steps since the last line."""
        self._sum_up()
        if self._file is not None:
            os.fsync(self._file.fileno())  # the lines that a checkpoint builds on are to outlive the machine as it does
        return {
            "sums": dict(self._sums),
            "steps": self._steps,
            "data_seconds": self._data_seconds,
            "compute_seconds": self._compute_seconds,
        }

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue those sums; with another number of processes all of them have the mean."""
        if len(states) == get_world_size():
            states = states[get_rank() :][:1]
        self._sums.update(
            {name: sum(state["sums"][name] for state in states) / len(states) for name in states[0]["sums"]}
        )
        self._steps = states[0]["steps"]
        self._data_seconds = sum(state["data_seconds"] for state in states) / len(states)
        self._compute_seconds = sum(state["compute_seconds"] for state in states) / len(states)

    def write(self, state: TrainState, kind: str, values: Mapping[str, Any]) -> None:
        """Write one line of the log (in the main process; nothing elsewhere).

        Raises:
            TrainingError: it cannot be written.
        """
        if self._file is None:
            return
        line = {"kind": kind, "epoch": round(state.fractional_epoch, 6), "iteration": state.iteration, **values}
        text = json.dumps({key: _json_number(value) for key, value in line.items()}) + "\n"
        try:
            self._file.write(text.encode())
        except OSError as error:
            raise TrainingError(
                f"Cannot write {self._file.name!r}: {error.strerror}. When that is mended, the same command goes on "
                "from the newest checkpoint."
            ) from error
        if self._tensorboard is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self._tensorboard.add_scalar(f"{kind}/{name}", value, state.iteration)
        if kind == "validation":
            logger.info("epoch %d: validation: %s", state.epoch, _text(values))

    def _log(self, state: TrainState) -> None:
        self._sum_up()
        means = {name: total / self._steps for name, total in self._sums.items()}
        everywhere = all_gather_objects(means)
        self.latest = {name: sum(other[name] for other in everywhere) / len(everywhere) for name in means}
        done, left = state.iteration - self._first_iteration, state.max_iterations - state.iteration
        timing = {
            "data_seconds": self._data_seconds / self._steps,
            "compute_seconds": self._compute_seconds / self._steps,
            "eta_seconds": (time.perf_counter() - self._started) / done * left,
        }
        throughput = str(self._throughput)
        self._forget()
        self.write(state, "train", {**self.latest, **state.learning_rates, **timing})
        if not is_main_process():
            return
        shown = {name: value for name, value in self.latest.items() if not name.endswith("grad_norm")}
        times = f"data {timing['data_seconds']:.3f} s, compute {timing['compute_seconds']:.3f} s a step, {throughput}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{_text(shown)}, {times}")
        else:
            eta = timedelta(seconds=round(timing["eta_seconds"]))
            logger.info(
                "epoch %.2f of %g, step %d of %d: %s (%s, %s left)",
                state.fractional_epoch,
                state.cfg.SOLVER.MAX_EPOCH,
                state.iteration,
                state.max_iterations,
                _text(shown),
                times,
                eta,
            )

    def _sum_up(self) -> None:
        """Add the latest step to the sums."""
        last, self._last = self._last, None
        if last is None:
            return
        for name, value in last.metrics.items():
            self._sums[name] += value
        self._data_seconds += last.data_seconds
        self._compute_seconds += last.compute_seconds
        self._steps += 1
        assert self._throughput is not None
        assert last.scalars is not None
        seconds = last.data_seconds + last.compute_seconds
        self._throughput.add(last.clips * get_world_size(), seconds=seconds, busy=last.scalars.span.seconds())

    def _forget(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._data_seconds = self._compute_seconds = 0.0
        self._steps = 0
        if self._throughput is not None:
            self._throughput.reset()


def _rewind(file: Path, state: TrainState) -> list[dict[str, Any]]:
    """Drop the lines of after the checkpoint that a run starts from; the validations among the others."""
    if not file.exists():
        return []
    lines, validations = [], []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # half a line: the disk was full, or the machine failed
            continue
        # After the last step of an epoch, its end is still to come, and its validation with it.
        last = state.iteration - 1 if entry["kind"] == "validation" and state.step else state.iteration
        if entry["iteration"] <= last:
            lines.append(line)
            if entry["kind"] == "validation":
                validations.append(entry)
    write_atomically(file, "".join(f"{line}\n" for line in lines).encode())
    return validations


def _summary_writer(folder: Path, iteration: int) -> Any:
    # Imported here: it takes a second or more, which no run without TensorBoard should wait for.
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"TENSORBOARD.ENABLE: TensorBoard cannot be imported ({error}). Install `tensorboard`, or set it to False."
        ) from error
    # What earlier attempts wrote after this point is not to be shown; neither is a training that is begun anew over.
    return SummaryWriter(str(folder), purge_step=iteration + 1 if folder.exists() else None)


def _json_number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
