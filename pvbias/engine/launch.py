"""Launching a job in one process or several."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from fvcore.common.config import CfgNode

from ..data.workers import end_with_parent, main_script_left_out, sharing_imports, worker_context
from ..errors import ConfigError, PvbiasError
from ..interruption import Interrupted, Stopped, answering_signals, forwarding
from ..machine import prepare_process
from .seeding import seed_everything

#: How long a process waits for the others: evaluation and decoding are uneven, and a dead process is noticed otherwise.
TIMEOUT = timedelta(hours=1)

#: Seconds that the remaining processes get to end by themselves once one has failed.
GRACE_SECONDS = 5

Job = Callable[[CfgNode], object]


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """Ranks of a process in its job, and where the processes rendezvous; without arguments: a single process.

    Attributes:
        rank, world_size: among all processes.
        local_rank, local_size: among those on this machine.
        rendezvous: an ``init_method`` of torch.distributed, or a store that all processes are connected to.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 1
    rendezvous: str | dist.Store = ""


def launch(job: Job, cfg: CfgNode) -> None:
    """Run ``job(cfg)`` in the processes of torchrun, in processes started here, or in this one.

    - under torchrun (``RANK`` and ``WORLD_SIZE`` in the environment): this process is one of them;
    - ``NUM_GPUS > 1`` or ``NUM_SHARDS > 1``: ``NUM_GPUS`` processes are started on this machine (on the CPU when it has
      no GPU), and with ``NUM_SHARDS > 1`` they find those of the other machines at ``MASTER_ADDR``:``MASTER_PORT``
      (environment);
    - otherwise: here.

    Each process gets its device, its share of the cores and the generators' start (``RNG_SEED``) before the job begins.

    Args:
        job: what to do; an importable function, since other processes have to find it.
        cfg: the configuration, handed to the job.

    Raises:
        PvbiasError: as raised by the job, also in a process started here; the others are ended.
        Interrupted, Stopped: likewise.
        ConfigError: more processes than GPUs, or no address for the rendezvous.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        run_process(_torchrun_process(), job, cfg)
    elif cfg.NUM_GPUS > 1 or cfg.NUM_SHARDS > 1:
        _spawn(job, cfg)
    else:
        with sharing_imports() if cfg.DATA_LOADER.NUM_WORKERS > 0 else nullcontext():
            run_process(ProcessInfo(), job, cfg)


def _torchrun_process() -> ProcessInfo:
    return ProcessInfo(
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ.get("LOCAL_RANK", 0)),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        rendezvous="env://",
    )


def _spawn(job: Job, cfg: CfgNode) -> None:
    """Start this machine's processes and wait for them."""
    gpus = torch.cuda.device_count()
    if cfg.NUM_GPUS > gpus > 0:
        raise ConfigError(f"NUM_GPUS = {cfg.NUM_GPUS}, but this machine has {gpus}: lower it.")
    with TemporaryDirectory(prefix="pvbias-") as folder:
        # A file is a rendezvous that, unlike a port, nobody else can take.
        rendezvous = f"file://{folder}/rendezvous" if cfg.NUM_SHARDS == 1 else _rendezvous_address(cfg)
        size = max(cfg.NUM_GPUS, 1)
        processes = [
            ProcessInfo(
                rank=cfg.SHARD_ID * size + local_rank,
                world_size=size * cfg.NUM_SHARDS,
                local_rank=local_rank,
                local_size=size,
                rendezvous=rendezvous,
            )
            for local_rank in range(size)
        ]
        _run_children(processes, Path(folder), job, cfg)


def _run_children(processes: list[ProcessInfo], folder: Path, job: Job, cfg: CfgNode) -> None:
    # All that a job needs is imported once and shared; CUDA, which does not outlive a fork, is not touched by that.
    method = worker_context("pvbias.run.job", job.__module__, sent=job).get_start_method()
    with main_script_left_out(job):
        children = mp.start_processes(
            _child, args=(processes, folder, job, cfg), nprocs=len(processes), join=False, start_method=method
        )
    try:
        with forwarding(children.pids()):
            while not children.join(grace_period=GRACE_SECONDS):
                pass
        _raise_first(folder)
    except (mp.ProcessRaisedException, mp.ProcessExitedException):
        _raise_first(folder)
        raise
    finally:
        for process in children.processes:
            if process.is_alive():
                process.kill()
            process.join()


def _raise_first(folder: Path) -> None:
    """Raise the first error that has a message for the user: what the other processes ran into is its consequence."""
    errors = sorted(folder.glob("error_*"), key=lambda path: path.stat().st_mtime_ns)
    if errors:
        raise pickle.loads(errors[0].read_bytes()) from None


def _rendezvous_address(cfg: CfgNode) -> str:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"NUM_SHARDS = {cfg.NUM_SHARDS}: set {' and '.join(missing)} in the environment to a host name of machine "
            "0 and a free port on it, the same on all machines; or start the run with torchrun."
        )
    return f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"


def _child(local_rank: int, processes: list[ProcessInfo], folder: Path, job: Job, cfg: CfgNode) -> None:
    # The parent's logging is not inherited by a spawned process.
    level = logging.INFO if processes[local_rank].rank == 0 else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S", level=level)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's, which the parent answers for all
    try:
        with answering_signals(signal.SIGTERM):
            run_process(processes[local_rank], job, cfg)
    except (PvbiasError, Interrupted, Stopped) as error:
        # A file, since a pipe that nobody reads yet would block on a long message.
        unfinished = folder / f"unfinished_{local_rank}"
        unfinished.write_bytes(pickle.dumps(error))
        unfinished.rename(folder / f"error_{local_rank}")
        if isinstance(error, PvbiasError):
            raise
        # Otherwise no failure, after which the others, which may be writing a checkpoint, would be ended.


def run_process(process: ProcessInfo, job: Job, cfg: CfgNode) -> None:
    """Run ``job(cfg)`` as one process of the job, for whoever has started the processes.

    Raises:
        ConfigError: nccl without GPUs.
    """
    use_gpu = cfg.NUM_GPUS > 0 and torch.cuda.is_available()
    # A process may see all GPUs of its machine, or its own alone.
    gpu = process.local_rank % torch.cuda.device_count() if use_gpu else None
    if gpu is not None:
        torch.cuda.set_device(gpu)
    prepare_process(processes=process.local_size)
    seed_everything(cfg.RNG_SEED)
    if process.world_size == 1:
        job(cfg)
        return
    backend = cfg.DIST_BACKEND
    if backend == "auto":
        backend = "nccl" if use_gpu else "gloo"
    if backend == "nccl" and not use_gpu:
        raise ConfigError("DIST_BACKEND = 'nccl' needs GPUs, and this run has none: use 'auto' or 'gloo'.")
    rendezvous = process.rendezvous
    dist.init_process_group(
        backend,
        init_method=rendezvous if isinstance(rendezvous, str) else None,
        store=None if isinstance(rendezvous, str) else rendezvous,
        rank=process.rank,
        world_size=process.world_size,
        timeout=TIMEOUT,
        device_id=torch.device("cuda", gpu) if gpu is not None and backend == "nccl" else None,
    )
    job(cfg)
    # Not after an error: the others would fail over the lost connection before this process has said what went wrong.
    dist.destroy_process_group()
