"""Work on many videos as an array of jobs: what ``pvbias flow extract`` and ``pvbias prepare`` have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pvbias.cluster import Submission
from pvbias.cluster.submission import CLUSTERS
from pvbias.config import load_cfg
from pvbias.data.sharing import Shard
from pvbias.errors import ConfigError

from .submit import carry_out


def add_array_options(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`submit_array` needs."""
    group = parser.add_argument_group("as an array of jobs (pvbias/cluster/README.md)")
    group.add_argument(
        "--array", type=int, metavar="N", help="N jobs, each with its part of the videos and --workers processes"
    )
    group.add_argument(
        "--set", nargs="+", default=[], metavar="SLURM.KEY VALUE", dest="keys", help="what each job asks Slurm for"
    )
    group.add_argument(
        "--cluster", choices=CLUSTERS, default="slurm", help="slurm; local: here, in the background; debug: here"
    )
    group.add_argument("--parallel", type=int, default=256, metavar="N", help="jobs at a time")
    group.add_argument("--wait", action="store_true", help="until the jobs are over; an error where one failed")
    group.add_argument("--dry-run", action="store_true", help="check and print what would be submitted")


def submit_array(args: argparse.Namespace, work: Callable[..., object]) -> int:
    """Submit ``args.array`` jobs, and a last one.

    Args:
        args: of the command; also ``out``, the folder, and ``workers``.
        work: called with the configuration and ``shard``: a part, or None in the last job, which then finds what the
            others have done. An importable function, or a partial one.

    Returns:
        The exit code.

    Raises:
        ConfigError: there is something else than keys of SLURM.
        ClusterError: see :class:`pvbias.cluster.Submission`.
    """
    others = [key for key in args.keys[::2] if not key.startswith("SLURM.")]
    if others:
        raise ConfigError(f"--set {others[0]}: only keys of SLURM have a meaning here.")
    asked = {
        "OUTPUT_DIR": args.out,
        "DATA_LOADER.NUM_WORKERS": 0,
        "SLURM.GPUS_PER_NODE": 0,
        "SLURM.CPUS_PER_TASK": max(args.workers, 1),
    }
    cfg = load_cfg(overrides=[*(str(text) for pair in asked.items() for text in pair), *args.keys])
    submission = Submission(
        cfgs=[cfg] * args.array,
        folder=Path(args.out),
        cluster=args.cluster,
        parallel=args.parallel,
        parts=[partial(work, shard=Shard(index, args.array)) for index in range(args.array)],
        last=partial(work, shard=None),
    )
    return carry_out(submission, wait_for_end=args.wait, dry_run=args.dry_run)
