"""Trainings that are killed, asked to stop and started again, and what they have logged in the end.

As a program it is the long form of the test: ``python -m tests.engine.killed FOLDER KILLS SEED``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from pvbias.data import BadVideo, TrainBatch
from pvbias.distributed import get_rank, get_world_size
from pvbias.engine import CrossEntropy, TrainSummary, newest_checkpoint, train, training
from pvbias.errors import WeightsError
from pvbias.interruption import Interrupted, request_stop
from pvbias.registries import OBJECTIVE
from pvbias.zoo import read_checkpoint

from ..kills import kill_at_work
from .toys import FakeLoader, TeacherAndStudent, make_cfg, tiny_recognizer

#: What a line of the log has that no two runs share.
TIMES = ("data_seconds", "compute_seconds", "eta_seconds")


class NoVideos:
    records = ()
    class_names = ()
    description = "no videos"


class Killed(BaseException):
    """In place of SIGKILL, where the test has to live on."""


class Noisy(CrossEntropy):
    """A loss that draws from all three random generators, each step."""

    def phases(self):
        (phase,) = super().phases()

        def loss(step):
            noise = random.gauss(1, 0.1) + 0.1 * float(np.random.standard_normal()) + 0.1 * float(torch.randn(()))
            losses = phase.loss(step)
            return {**losses, "loss": losses["loss"] * noise, "noise": torch.tensor(noise)}

        return [type(phase)(name=phase.name, modules=phase.modules, loss=loss, solver=phase.solver)]


class EventfulLoader(FakeLoader):
    """Mini-batches, before some of which something happens, once each: by (epoch, number) a function."""

    def __init__(self, *args, events: dict | None = None, **options):
        super().__init__(*args, **options)
        self.events = events or {}
        self.given: list[tuple[int, int]] = []

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TrainBatch]:
        for number, batch in enumerate(super().epoch(epoch, start), start):
            if (epoch, number) in self.events:
                self.events.pop((epoch, number))()
            self.given.append((epoch, number))
            bad = BadVideo(index=0, path=f"/bad/{number}.mp4", name="", cause="torn")
            yield TrainBatch(
                clips=batch.clips,
                labels=batch.labels,
                names=batch.names,
                bad=[bad] if number == 1 else [],
                tracks={
                    "flow": torch.randn(len(batch.clips), 2, 4, 8, 8, generator=torch.Generator().manual_seed(number))
                },
            )


def kill():
    raise Killed


def ask():
    """To stop, as a cluster does it."""
    earlier = signal.signal(signal.SIGUSR2, lambda *_: request_stop())
    os.kill(os.getpid(), signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, earlier)


def attempt(cfg, loader, recognizer, *, validated=()) -> TrainSummary | None:
    """One start of the program; None: it was killed, or has stopped as asked.

    Args:
        validated: functions, the first of which is taken away and called before each validation.
    """
    validated = validated if isinstance(validated, list) else []

    def validate():
        if validated:
            validated.pop(0)()
        recognizer.eval()
        with torch.no_grad():
            logits = recognizer(torch.linspace(0, 1, 768).reshape(1, 3, 4, 8, 8))
        return {"top1": float(logits[0, 0]), "drawn": float(torch.rand(()))}

    with patch.object(training, "build_train_loader", lambda *_, **__: loader):
        try:
            return train(cfg, recognizer, NoVideos(), validate=validate if cfg.TRAIN.EVAL_PERIOD else None)
        except (Killed, Interrupted):
            return None


def logged(folder) -> list[dict]:
    """The lines of a run's log, but for what differs from start to start."""
    lines = [json.loads(line) for line in (Path(folder) / "train_log.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if key not in TIMES} for line in lines if line["kind"] != "start"]


def in_processes(cfg):
    """Three runs in several processes: left alone; killed and asked to stop again and again, the latter in the last
    process only; and asked to stop inside the second epoch."""
    folder, rank, size = Path(cfg.OUTPUT_DIR), get_rank(), get_world_size()
    ask_one = ask if rank == size - 1 else int
    events = {
        "alone": {},
        "killed": {(0, 1): ask_one, (0, 3): kill, (1, 1): ask_one, (1, 2): kill, (2, 1): kill},
        "stopped": {(1, 1): ask_one},
    }
    for name, run_events in events.items():
        cfg.OUTPUT_DIR = str(folder / name)
        summary = None
        while summary is None and not (name == "stopped" and not run_events):
            loader = EventfulLoader(4, rank=rank, world_size=size, events=run_events)
            summary = attempt(cfg, loader, tiny_recognizer(norm=True, dropout=0.5))


def long_cfg(folder):
    """Many small steps, with a checkpoint after nearly each."""
    return make_cfg(
        folder,
        *("SOLVER.MAX_EPOCH", 4.0, "LOG_PERIOD", 3, "TRAIN.EVAL_PERIOD", 1, "BN.USE_PRECISE_STATS", True),
        *("TRAIN.CHECKPOINT_MINUTES", 0.02 / 60, "TRAIN.CHECKPOINT_BEST", "top1", "TRAIN.CHECKPOINT_KEEP", 2),
        *("OBJECTIVE.NAME", "TeacherAndStudent", "DATA.MAX_BAD_FRACTION", 0.9),
    )


def run_long(folder) -> None:
    torch.set_num_threads(1)
    if "TeacherAndStudent" not in OBJECTIVE:
        OBJECTIVE.register(TeacherAndStudent)
    summary = attempt(long_cfg(folder), EventfulLoader(40), tiny_recognizer(norm=True, dropout=0.5))
    assert summary is not None


def kill_again_and_again(folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Start a run, kill it (SIGKILL) at a random moment, and so on; then let it finish beside one that was left alone.

    Returns:
        Unreadable checkpoints that any start found, and lines of the log that differ.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    generator = random.Random(seed)

    def start(name: str) -> BaseProcess:
        process = context.Process(target=run_long, args=(str(folder / name),))
        process.start()
        return process

    alone = start("alone")
    alone.join()
    assert alone.exitcode == 0
    broken = done = 0
    killed = folder / "killed"
    while done < kills:
        if not kill_at_work(partial(start, "killed"), partial(_size, killed), generator, within=0.5):
            shutil.rmtree(killed)
            continue
        done += 1
        for path in (killed / "checkpoints").glob("*.pyth"):
            try:
                read_checkpoint(str(path))
            except WeightsError:
                broken += 1
    last = start("killed")
    last.join()
    assert last.exitcode == 0
    ours, theirs = logged(killed), logged(folder / "alone")
    weights = [torch.load(newest_checkpoint(str(folder / name)))["model_state"] for name in ("killed", "alone")]
    same = all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    differing = sum(a != b for a, b in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs)) + (not same)
    assert not list(killed.rglob("*.tmp"))
    return broken, differing


def _size(folder: Path) -> int:
    log = folder / "train_log.jsonl"
    return log.stat().st_size if log.exists() else 0


if __name__ == "__main__":
    unreadable, differences = kill_again_and_again(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(f"{sys.argv[2]} kills: {unreadable} unreadable checkpoints, {differences} differences")
