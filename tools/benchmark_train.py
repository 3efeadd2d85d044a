"""Benchmark of training steps, time and memory, by objective, precision and memory format."""

from __future__ import annotations

import argparse
import itertools
import math
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from tabulate import tabulate
from torch.nn.functional import nll_loss

from pvbias.config import complete, load_cfg
from pvbias.data import TrainBatch
from pvbias.data.streams import FIRST, is_labelled, tracks_of
from pvbias.data.workers import worker_context
from pvbias.engine import Trainer, build_objective
from pvbias.engine.solver import build_optimizer
from pvbias.machine import prepare_process
from pvbias.models import build_recognizer
from pvbias.registries import TRACK
from pvbias.runtime import choose_settings

BASELINE = "CrossEntropy"

EPILOG = """A step is the trainer's: all phases of the objective, each with loss, backward and optimizer. The objectives
of a model take turns, so that slow moments of the machine hit all alike; "x CrossEntropy" is the median, over the
turns, of the ratio to CrossEntropy's step of the same turn, and "x parts" that to CrossEntropy's step, a step of the
spatial student and a forward of it together, each alone. "x first" compares with the model's first line.

Peak memory is measured apart, each case in a process of its own, over two steps: on a GPU what torch allocates there,
on a CPU by how much the process's peak resident memory grows from before the model is built (Linux only).

examples:
  pvbias benchmark train --models x3d_xs slow_r50 --crop-size 112 --batch-size 4
  pvbias benchmark train --models slow_r50 --objectives DRLFreeze DRLDistill --set STUDENT.NAME mobilenet_v3_small"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark train",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", default=["x3d_xs"], help="architectures")
    add("--objectives", nargs="+", default=[], help=f"to set beside {BASELINE}, which is always timed")
    add("--precisions", nargs="+", help="default: fp32 bf16 (fp16, on a GPU); with --objectives the machine's choice")
    add("--memory-formats", nargs="+", help="default: contiguous channels_last_3d; likewise")
    add("--crop-size", type=int, default=112, help="side of the crop, pixels (default 112)")
    add("--batch-size", type=int, default=4, help="clips in a step (default 4)")
    add("--steps", type=int, default=5, help="timed steps of each kind (default 5)")
    add("--set", nargs="+", default=[], metavar=("KEY", "VALUE"), help="any other keys of the configuration")
    args = parser.parse_args(argv)
    automatic = ["auto"] if args.objectives else None
    precisions = args.precisions or automatic or ["fp32", "bf16", "fp16"][: 3 if torch.cuda.is_available() else 2]
    memory_formats = args.memory_formats or automatic or ["contiguous", "channels_last_3d"]
    objectives = list(dict.fromkeys([BASELINE, *args.objectives]))
    prepare_process()
    rows: list[tuple] = []
    for model in args.models:
        timed: list[tuple] = []
        for precision, memory_format in itertools.product(precisions, memory_formats):
            keys = {
                "MODEL.MODEL_NAME": model,
                "DATA.TRAIN_CROP_SIZE": args.crop_size,
                "PRECISION": precision,
                "MEMORY_FORMAT": memory_format,
                "TRAIN.BATCH_SIZE": args.batch_size,
                "SOLVER.BASE_LR": 1e-4,  # the clips are noise: weights should not run away
            }
            overrides = [*(str(part) for pair in keys.items() for part in pair), *args.set]
            timed += _compare([[*overrides, "OBJECTIVE.NAME", name] for name in objectives], args.steps)
        rows += [(model, *row[:-1], row[3] / timed[0][3], row[-1]) for row in timed]
    ratios = (f"x {BASELINE}", "x parts", "x first")
    headers = ("model", "precision", "memory format", "objective", "median s", *ratios, "peak MiB")
    print(tabulate(rows, headers=headers, floatfmt=("", "", "", "", ".3f", ".3f", ".3f", ".3f", ".0f")))
    return 0


def _compare(cases: Sequence[Sequence[str]], steps: int) -> Iterator[tuple]:
    """(precision, memory format, objective, median seconds, ratio to the first case, ratio to what the step is made of
    (None without a student), MiB) of each case."""
    trainers = [_trainer(overrides) for overrides in cases]
    steppers = [(trainer, _StudentStep(trainer)) for trainer in trainers]
    # The first turn warms up.
    turns = [[(_step(trainer), student_step()) for trainer, student_step in steppers] for _ in range(steps + 1)][1:]
    for overrides, trainer, timed in zip(cases, trainers, zip(*turns, strict=True), strict=True):
        times = [seconds for seconds, _ in timed]
        recognizer_steps = [turn[0][0] for turn in turns]
        ratios = [seconds / first for seconds, first in zip(times, recognizer_steps, strict=True)]
        parts = [
            seconds / (first + student)
            for (seconds, student), first in zip(timed, recognizer_steps, strict=True)
            if student is not None
        ]
        yield (
            trainer.settings.precision,
            trainer.settings.memory_format,
            trainer.cfg.OBJECTIVE.NAME,
            statistics.median(times),
            statistics.median(ratios),
            statistics.median(parts) if parts else None,
            _in_own_process(overrides),
        )


class _OneBatch:
    """A loader whose epochs are one and the same mini-batch of noise, so that an epoch is a step."""

    def __init__(self, batch: TrainBatch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def epoch(self, epoch: int, start: int = 0) -> list[TrainBatch]:
        """The mini-batch."""
        return [self.batch]


def _trainer(overrides: Sequence[str]) -> Trainer:
    cfg = complete(load_cfg(overrides=overrides), num_classes=400)
    torch.manual_seed(0)
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    objective = settings.place(build_objective(cfg, recognizer))
    streams = {FIRST: _noise(cfg, FIRST, cfg.TRAIN.BATCH_SIZE, objective.needs.tracks)}
    for name in objective.needs.streams:
        if name not in streams:
            streams[name] = _noise(cfg, name, cfg.DATA.STREAMS[name].BATCH_SIZE, objective.needs.tracks)
    batch = replace(streams.pop(FIRST), streams=streams)
    return Trainer(cfg, recognizer, objective, _OneBatch(batch), settings)  # type: ignore[arg-type]


def _noise(cfg: CfgNode, stream: str, size: int, tracks: Sequence[str]) -> TrainBatch:
    """A mini-batch of a stream, with values of its tracks in [0, 2)."""
    frames, crop = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    clips = torch.randint(256, (size, frames, crop, crop, 3), dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    labels = torch.randint(cfg.MODEL.NUM_CLASSES, (size,)) if is_labelled(cfg, stream) else None
    values = {}
    for name in tracks_of(tracks, stream):
        track = TRACK.get(name)
        noise = np.random.default_rng(0).uniform(0, 2, (size, track.channels, frames, crop, crop))
        values[name] = torch.from_numpy(noise.astype(track.dtype))
    return TrainBatch(clips=clips, labels=labels, names=["noise"] * size, bad=[], tracks=values)


def _step(trainer: Trainer) -> float:
    """Seconds of the trainer's next step."""
    trainer.max_iterations = trainer.max_epochs = trainer.epoch + 1
    start = time.perf_counter()
    trainer.train()
    if trainer.settings.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


class _StudentStep:
    """A step of an objective's spatial student and a forward of it, without the recognizer. It moves the student.

    Args:
        trainer: of the objective.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.settings = trainer.settings
        self.student = getattr(trainer.objective, "student", None)
        if self.student is not None:
            self.optimizer = build_optimizer(trainer.cfg.STUDENT.SOLVER, {"student": self.student})
            (self.batch,) = trainer.loader.epoch(0)

    def __call__(self) -> float | None:
        """Seconds; None without a student."""
        if self.student is None:
            return None
        start = time.perf_counter()
        clips, labels = self.settings.clips(self.batch.clips), self.batch.labels
        assert labels is not None  # of noise there are
        with self.settings.autocast():
            loss = nll_loss(self.student(clips), labels.to(self.settings.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad(), self.settings.autocast():
            self.student(clips)
        if self.settings.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def _in_own_process(overrides: Sequence[str]) -> float:
    # From a process that has imported what this one has, and done nothing yet: a fresh one imports for seconds.
    context = worker_context(*(name for name in sys.modules if name.startswith("pvbias.")), sent=_peak_memory)
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(_peak_memory, overrides).result()


def _peak_memory(overrides: Sequence[str]) -> float:
    """MiB; the second step is the first that has the optimizers' momenta from its beginning."""
    prepare_process()
    load_cfg(overrides=overrides)  # imports the plugins, which are not to be counted
    before = _resident_peak()
    trainer = _trainer(overrides)
    _step(trainer)
    _step(trainer)
    if trainer.settings.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return _resident_peak() - before


def _resident_peak() -> float:
    """MiB, from Linux's description of the process; nan where there is none. (``getrusage`` would also count what the
    parent process had.)"""
    try:
        return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10  # type: ignore[index]
    except (OSError, TypeError):
        return math.nan
