"""Work on many videos as an array of jobs, for ``pvbias flow extract`` and ``pvbias prepare``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from pvbias.config import load_cfg
from pvbias.errors import ConfigError
from pvbias.run.paths import check_list, check_output_dir

from .options import add_list_format
from .submit import add_cluster_options, submit_parts


def add_work_options(parser: argparse.ArgumentParser) -> None:
    """Add how videos are read, and what :func:`do_or_submit` needs."""
    parser.add_argument("--path-prefix", default="", help="folder that relative paths in the annotation start from")
    add_list_format(parser)
    parser.add_argument(
        "--fps", type=float, default=30.0, help="rate of folders of frame images, frames per second (default 30)"
    )
    parser.add_argument(
        "--frame-prefix",
        metavar="TEXT",
        help="what the names of frame images begin with, where folders hold several series (img_ of img_00001.jpg)",
    )
    parser.add_argument(
        "--max-bad-fraction", type=float, default=0.1, metavar="X", help="of the files, 0 to 1 (default %(default)s)"
    )
    group = parser.add_argument_group("as an array of jobs (pvbias/cluster/README.md)")
    group.add_argument(
        "--array", type=int, metavar="N", help="N jobs, each with its part of the videos and --workers processes"
    )
    group.add_argument(
        "--set", nargs="+", default=[], metavar="SLURM.KEY VALUE", dest="keys", help="what each job asks Slurm for"
    )
    add_cluster_options(group)


def do_or_submit(args: argparse.Namespace, work: Callable[..., object]) -> int:
    """Do some work here, or submit it as ``args.array`` jobs and a last one.

    Args:
        args: of the command; also ``data``, the list or folder of videos, ``out``, the folder, and ``workers``.
        work: called with ``shard``: None, or in a job its part; the last job has None, and then finds what the others
            have done. In jobs the configuration comes first. An importable function, or a partial one.

    Returns:
        The exit code.

    Raises:
        ConfigError: there is something else than keys of SLURM, or the folder cannot be written.
        DataError: there is no such list or folder.
        ClusterError: see :class:`pvbias.cluster.Submission`.
    """
    check_output_dir(args.out)
    if args.array is None:
        work(shard=None)
        return 0
    others = [key for key in args.keys[::2] if not key.startswith("SLURM.")]
    if others:
        raise ConfigError(f"--set {others[0]}: only keys of SLURM have a meaning here.")
    asked = {
        "OUTPUT_DIR": args.out,
        "SLURM.GPUS_PER_NODE": 0,
        "SLURM.CPUS_PER_TASK": max(args.workers, 1),
        "DATA_LOADER.NUM_WORKERS": args.workers,
    }
    cfg = load_cfg(overrides=[*(str(text) for pair in asked.items() for text in pair), *args.keys])
    return submit_parts(
        cfg, args, part=work, last=partial(work, shard=None), paths=lambda _: check_list(args.data, "DATA")
    )
