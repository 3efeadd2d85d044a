"""Queries to Slurm: its partitions, and the states of jobs."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from fvcore.common.config import CfgNode

from ..config.time_limit import minutes
from ..errors import ClusterError, did_you_mean

#: Seconds that a command gets: it waits for ever for a controller that does not answer.
PATIENCE = 60

#: States that a job does not leave by itself, and why it is in one, where its log does not say.
FINAL = {
    "COMPLETED": "",
    "FAILED": "",
    "CANCELLED": "it was cancelled. Submitting again goes on",
    "TIMEOUT": "its time was over before it had saved: SLURM.SIGNAL_DELAY was too short for that. Submitting again "
    "goes on",
    "PREEMPTED": "another job took its place, and Slurm does not requeue here (PreemptMode=CANCEL). Submitting again "
    "goes on",
    "NODE_FAIL": "a machine failed, and Slurm did not requeue it. Submitting again goes on",
    "OUT_OF_MEMORY": "it used more than SLURM.MEM_GB. Submitting again with more, or with fewer "
    "DATA_LOADER.NUM_WORKERS, goes on",
    "BOOT_FAIL": "a machine did not start. Submitting again goes on",
    "DEADLINE": "it could not end before the deadline that it was submitted with. Submitting again with a later one "
    "goes on",
    "REVOKED": "another cluster of the federation runs it",
}


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition's limits.

    Attributes:
        name: as ``--partition`` takes it.
        is_default: used where none is asked for.
        nodes: machines in it.
        gpus: of the machine that has most.
        minutes: its time limit; None: without one.
    """

    name: str
    is_default: bool
    nodes: int
    gpus: int
    minutes: int | None


def is_here() -> bool:
    """Whether this machine can submit to Slurm."""
    return shutil.which("sbatch") is not None


def check_request(cfg: CfgNode) -> None:
    """Check that the cluster has what ``SLURM`` asks for, as far as that can be known before submitting.

    Raises:
        ClusterError: no sbatch on PATH, no answer from Slurm, an unknown partition, more machines, GPUs or time than
            the partition has.
    """
    asked = cfg.SLURM
    if not is_here():
        raise ClusterError(
            "There is no sbatch on PATH: this machine cannot submit to Slurm. Submit from one that can (a login node), "
            "run here with --cluster local, or look at what would be submitted with --dry-run."
        )
    known = partitions()
    partition = (
        known.get(asked.PARTITION) if asked.PARTITION else next((p for p in known.values() if p.is_default), None)
    )
    if partition is None:
        what = f"unknown partition {asked.PARTITION!r}" if asked.PARTITION else "empty, and Slurm has no default one"
        raise ClusterError(f"SLURM.PARTITION: {what}. {did_you_mean(asked.PARTITION, known)}")
    for key, value, limit, what in (
        ("GPUS_PER_NODE", asked.GPUS_PER_NODE, partition.gpus, "GPUs on a machine"),
        ("NODES", asked.NODES, partition.nodes, "machines"),
        ("TIME", minutes(asked.TIME), partition.minutes, "minutes of time limit"),
    ):
        if limit is not None and value > limit:
            raise ClusterError(
                f"SLURM.{key} = {asked[key]!r}, but the partition {partition.name!r} has at most {limit} {what}: ask "
                "for less, or for another SLURM.PARTITION."
            )


def partitions() -> dict[str, Partition]:
    """The partitions that ``sinfo`` lists, by name."""
    found: dict[str, Partition] = {}
    for line in _run("sinfo", "--noheader", "--exact", "--format=%P|%l|%D|%G").splitlines():
        title, limit, nodes, resources = line.split("|")
        name = title.rstrip("*")
        seen = found.get(name)
        gpus = sum(int(count) for count in re.findall(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)", resources))
        found[name] = Partition(
            name=name,
            is_default=title.endswith("*"),
            nodes=int(nodes) + (seen.nodes if seen else 0),
            gpus=max(gpus, seen.gpus if seen else 0),
            minutes=None if limit == "infinite" else limit_minutes(limit),
        )
    return found


def states(jobs: Iterable[str]) -> dict[str, str]:
    """The states of jobs (``123`` or, in an array, ``123_4``) in Slurm's words; jobs that it has forgotten are left
    out. The accounting database is asked where there is one, then the controller, which knows better of jobs that are
    not over."""
    wanted = set(jobs)
    if not wanted or shutil.which("squeue") is None:
        return {}
    found = {}
    numbers = ",".join(sorted({job.split("_")[0] for job in wanted}))
    for command in (
        ("sacct", "--noheader", "--parsable2", "--allocations", "--array", "--format=JobID,State", f"--jobs={numbers}"),
        ("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--user={getpass.getuser()}"),
    ):
        try:
            lines = _run(*command).splitlines()
        except ClusterError:
            if command[0] == "squeue":
                raise
            continue  # a cluster without accounting
        for job, state in (line.split("|") for line in lines):
            if job in wanted:
                found[job] = state.split()[0]  # "CANCELLED by 1000"
    return found


def limit_minutes(limit: str) -> int:
    """A time limit as Slurm writes and reads it, in minutes: also ``MM:SS``.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+):(\d\d)", limit)
    return int(found[1]) + (int(found[2]) > 0) if found else minutes(limit)


def _run(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"Slurm does not answer: {error}") from error
    if result.returncode:
        raise ClusterError(f"Slurm does not answer: {' '.join(command[:1])}: {result.stderr.strip()}")
    return result.stdout
