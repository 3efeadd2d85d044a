"""Jobs on the cluster: ``pvbias run``, or a shard of some work, that save and go back to the queue when preempted."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from fvcore.common.config import CfgNode
from submitit import JobEnvironment
from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from ..errors import ClusterError
from ..interruption import Interrupted, Stopped, request_stop
from ..lazy import Later
from .jobs import ATTEMPT

#: What a job does, unless it is to do something else.
RUN = Later("pvbias.run", "run")


@dataclass(frozen=True)
class ClusterRun:
    """A run as a submitit job: called in each of its processes, resumed after a preemption.

    It goes on from the newest checkpoint in ``OUTPUT_DIR``, so that an attempt needs nothing from the earlier ones:
    after a preemption submitit starts it as :meth:`checkpoint` gave it, after a node's failure as it was submitted.

    Attributes:
        cfg: checked, not completed.
        do: what to do with it; goes on from what it has on disk.
        attempt: counted from 1. Slurm's own count goes before, which includes failures of nodes.
    """

    cfg: CfgNode
    do: Callable[[CfgNode], object] = RUN
    attempt: int = 1

    def __call__(self) -> None:
        """Run this process's part of the job.

        Raises:
            PvbiasError: see :mod:`pvbias.errors`.
        """
        from ..engine.launch import ProcessInfo, run_process  # with torch: see _load
        from .rendezvous import rendezvous

        env = JobEnvironment()
        attempt = int(os.environ["SLURM_RESTART_COUNT"]) + 1 if "SLURM_RESTART_COUNT" in os.environ else self.attempt
        logging.basicConfig(
            format="%(asctime)s %(levelname).1s %(message)s",
            datefmt="%H:%M:%S",
            level=logging.INFO if env.global_rank == 0 else logging.WARNING,
        )
        print(f"{ATTEMPT} {attempt} on {env.hostname}, process {env.global_rank} of {env.num_tasks}", flush=True)
        # What an earlier attempt has left would be taken for this one's.
        env.paths.result_pickle.unlink(missing_ok=True)
        preemption = _PreemptionHandler(env.global_rank, self.cfg.SLURM)
        address_file = Path(env.paths.folder) / f"{env.job_id}_{attempt}.address"
        try:
            process = ProcessInfo(
                rank=env.global_rank,
                world_size=env.num_tasks,
                local_rank=env.local_rank,
                local_size=max(1, env.num_tasks // env.num_nodes),
                rendezvous=rendezvous(env, address_file) if env.num_tasks > 1 else "",
            )
            run_process(process, self.do, self.cfg)
            preemption.cancel()
        except (Interrupted, Stopped):
            preemption()
        finally:
            _end_workers()

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self.cfg, self.do, self.attempt)

    def checkpoint(self) -> DelayedSubmission:
        """The job that submitit submits in place of a preempted one."""
        return DelayedSubmission(replace(self, attempt=self.attempt + 1))


def _load(cfg: CfgNode, do: Callable[[CfgNode], object], attempt: int) -> ClusterRun:
    """Make a run from its pickle, in a job: with all that takes time to import. Signals are ignored until this is done,
    and answered from then on as submitit does, until the run has handlers of its own."""
    for module in ("pvbias.engine.launch", "pvbias.run.job"):
        importlib.import_module(module)
    return ClusterRun(cfg, do, attempt)


def _end_workers() -> None:
    for worker in multiprocessing.active_children():
        worker.kill()


class _PreemptionHandler:
    """Handler of submitit's signal: the training goes on until it has saved a checkpoint, then the job is requeued.

    Submitit's own handler requeues the job and ends the process at once, wherever that is. It is called when the
    training has saved (:class:`Interrupted`), when there is no training that could, or when two thirds of the time that
    the signal leaves have gone.
    """

    def __init__(self, rank: int, asked: CfgNode) -> None:
        self.rank, self.asked = rank, asked
        self.number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        self.submitit: Any = signal.getsignal(self.number)
        if callable(self.submitit):  # not so with the cluster "debug", where nobody sends one
            signal.signal(self.number, self._stop)
            signal.signal(signal.SIGALRM, self)

    def cancel(self) -> None:
        """Ignore further signals: the work is done, and the job must not fail while it ends."""
        if callable(self.submitit):
            signal.alarm(0)
            signal.signal(self.number, signal.SIG_IGN)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.alarm(max(1, self.asked.SIGNAL_DELAY * 2 // 3))
        if not request_stop():
            self()

    def __call__(self, *_: Any) -> None:
        signal.alarm(0)
        signal.signal(self.number, signal.SIG_IGN)
        if self.rank > 0:
            # Not an error, which would end process 0 before it has requeued the job; nor a result.
            sys.exit(0)
        try:
            self.submitit(self.number, None)  # ends in SystemExit
        except UncompletedJobError as error:
            raise ClusterError(
                f"SLURM.MAX_TIMEOUTS = {self.asked.MAX_TIMEOUTS}: the job has reached its time limit (SLURM.TIME = "
                f"{self.asked.TIME!r}) once more than that, and does not go back to the queue. What it has done is "
                "saved: submit it again to go on, with a larger SLURM.MAX_TIMEOUTS or SLURM.TIME."
            ) from error
        finally:
            _end_workers()  # a pool of processes would wait for what they have in work
