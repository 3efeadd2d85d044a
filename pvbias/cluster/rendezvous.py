"""Rendezvous of the processes of a job, anew in every attempt."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from submitit import JobEnvironment
from torch import distributed as dist

from ..errors import ClusterError

#: Seconds that a process waits for the others. They start unevenly: imports come from a file system under load.
PATIENCE = 600


def rendezvous(env: JobEnvironment, file: Path) -> dist.Store:
    """Connect all processes of the job to one store.

    Process 0 takes a port that is free and leaves its address in ``file``, which has to be another one in each attempt:
    neither a port that is still taken nor an address of earlier can come between. Waiting is done in Python, where
    submitit's signal is noticed at once (not so within torch.distributed).

    Args:
        env: ranks of this process.
        file: in a folder that all nodes see.

    Raises:
        ClusterError: the others have not come.
    """
    until = time.monotonic() + PATIENCE
    if env.global_rank == 0:
        host = "localhost" if env.num_nodes == 1 else os.environ.get("SLURMD_NODENAME", env.hostname)
        store = _connect(env, host, 0)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(f"{host} {store.port}")
        unfinished.rename(file)
    else:
        while not file.exists():
            _wait(until, f"process 0 has not left its address in {file}")
        host, port = file.read_text().split()
        store = _connect(env, host, int(port))
    store.add("arrived", 1)
    while (arrived := store.add("arrived", 0)) < env.num_tasks:
        _wait(until, f"{env.num_tasks - arrived} of {env.num_tasks} processes have not come")
    if env.global_rank == 0:
        file.unlink()
    return store


def _connect(env: JobEnvironment, host: str, port: int) -> dist.TCPStore:
    return dist.TCPStore(
        host,
        port,
        env.num_tasks,
        is_master=env.global_rank == 0,
        timeout=timedelta(seconds=PATIENCE),
        wait_for_workers=False,
    )


def _wait(until: float, what: str) -> None:
    if time.monotonic() > until:
        raise ClusterError(f"The job's processes do not find each other: {what} within {PATIENCE} s.")
    time.sleep(0.1)
