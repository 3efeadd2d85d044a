"""Jobs that are interrupted at given moments of their attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pvbias.cluster import Job

from .conftest import log_of
from .slurm import Cluster

OVER = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """Something that happens to a job.

    Attributes:
        do: what.
        seconds: from the start of an attempt, at least.
        steps: that the training has logged, at least.
    """

    do: Callable[[], object]
    seconds: float = 0.0
    steps: int = 0


@dataclass(kw_only=True)
class Interrupted:
    """A job, and what happens to it.

    Attributes:
        job: submitted.
        interruptions: one after another.
        each_ends_an_attempt: so that the next one waits for the next attempt.
        then: called with the state in which the job has ended; gives a job that goes on in its place, if one does.
        done: how many interruptions there were.
    """

    job: Job
    interruptions: Sequence[Interruption]
    each_ends_an_attempt: bool = False
    then: Callable[[str], Interrupted | None] | None = None
    done: int = 0
    _started: dict[int, float] = field(default_factory=dict)

    def look(self, restarts: int) -> None:
        """Do what it is time for, in a job that is running."""
        now = time.monotonic()
        start = self._started.setdefault(restarts, now)
        if self.done == len(self.interruptions) or (self.each_ends_an_attempt and restarts < self.done):
            return
        next_one = self.interruptions[self.done]
        if now - start >= next_one.seconds and len(log_of(self.job.output_dir)) >= next_one.steps:
            self.done += 1
            next_one.do()


def carry_out(cluster: Cluster, jobs: Mapping[str, Interrupted], *, seconds: float = 400) -> dict[str, str]:
    """Interrupt jobs until all are over; the state that each has ended in."""
    at_work, ended = dict(jobs), {}
    until = time.monotonic() + seconds
    while at_work:
        assert time.monotonic() < until, {name: each.job.log() for name, each in at_work.items()}
        running = cluster.running()
        for name, each in list(at_work.items()):
            if each.job.id in running:
                each.look(running[each.job.id])
            elif (state := cluster.state(each.job.id)) in OVER:
                ended[name] = state
                del at_work[name]
                if each.then is not None and (following := each.then(state)) is not None:
                    at_work[name] = following
        time.sleep(0.25)
    return ended


def difference(output_dir: str, reference: Path) -> str:
    """What differs in the log and the weights of two trainings; empty: they are the same, bit for bit."""
    log, expected = log_of(output_dir), log_of(reference)
    if log != expected:
        return f"the log differs: {len(log)} and {len(expected)} steps"
    own, others = weights_of(output_dir), weights_of(reference)
    differing = [name for name in others if name not in own or not torch.equal(own[name], others[name])]
    return f"weights differ: {differing}" if differing or own.keys() != others.keys() else ""


def weights_of(output_dir: str | Path) -> dict[str, torch.Tensor]:
    """The weights at the end of a training."""
    checkpoint = max(Path(output_dir, "checkpoints").glob("checkpoint_epoch_*.pyth"))
    return torch.load(checkpoint, weights_only=True)["model_state"]
