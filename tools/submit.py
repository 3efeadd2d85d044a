"""Train, test and measure as a YAML configuration says, as a job on a Slurm cluster.

The job saves and goes back to the queue when its time is over or another one needs its place, and goes on from there.
A sweep is one job array: a run for each combination of values, in folders of OUTPUT_DIR. A measurement (TRAIN.ENABLE
False) can be an array of jobs, each with its part of the videos.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from fvcore.common.config import CfgNode

from pvbias.cluster import Submission, slurm, with_environment, write_sbatch_script
from pvbias.cluster.jobs import CLUSTERS, Job, current_states, explain, is_over
from pvbias.cluster.run import RUN
from pvbias.cluster.submission import placed
from pvbias.config.remembered import load_cfg
from pvbias.errors import ClusterError, ConfigError, PvbiasError
from pvbias.lazy import Later
from pvbias.run.paths import check_paths
from pvbias.shard import Shard

from .jobs import print_table

EXAMPLES = """examples:
  pvbias submit --cfg my.yaml SLURM.PARTITION gpu SLURM.GPUS_PER_NODE 8 SLURM.NODES 2 OUTPUT_DIR /shared/me/run
  pvbias submit --cfg my.yaml --dry-run                # the script for sbatch, and the configuration
  pvbias submit --cfg my.yaml --sweep SOLVER.BASE_LR=0.01,0.1 RNG_SEED=0,1,2 --parallel 4
  pvbias submit --cfg my.yaml --array 32 TRAIN.ENABLE False OUTPUT_DIR /shared/me/run
  pvbias jobs /shared/me/run

What can be asked for: SLURM in pvbias/config/defaults.py. More: pvbias/cluster/README.md."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias submit",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML configuration")
    add_cluster_options(parser)
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--sweep", nargs="+", default=[], metavar="KEY=A,B", help="a run for each combination")
    several.add_argument(
        "--array", type=int, metavar="N", help="measure with N jobs, and write the results with one more"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys that override the file's")
    args = parser.parse_intermixed_args(argv)
    combinations = _combinations(args.sweep)
    cfg = load_cfg(args.cfg, args.overrides)
    if args.array is not None:
        if cfg.TRAIN.ENABLE:
            raise ConfigError("--array is for measuring: set TRAIN.ENABLE to False. A training is one job.")
        return submit_parts(cfg, args, part=Later("pvbias.run", "run_shard"), last=RUN)
    cfgs = [cfg]
    if args.sweep:
        cfgs = [load_cfg(args.cfg, [*args.overrides, *_overrides(Path(cfg.OUTPUT_DIR), c)]) for c in combinations]
    submission = Submission(
        cfgs=cfgs,
        folder=Path(cfg.OUTPUT_DIR),
        cluster=args.cluster,
        parallel=args.parallel,
        swept=combinations if args.sweep else (),
    )
    return carry_out(submission, args)


def add_cluster_options(parser: argparse._ActionsContainer) -> None:
    """Add where jobs run, how many at a time, and whether to wait for them."""
    parser.add_argument(
        "--cluster", choices=CLUSTERS, default="slurm", help="slurm; local: here, in the background; debug: here"
    )
    parser.add_argument("--parallel", type=int, default=256, metavar="N", help="jobs of a sweep or array at a time")
    parser.add_argument("--wait", action="store_true", help="until the jobs are over; an error where one failed")
    parser.add_argument("--dry-run", action="store_true", help="check and print what would be submitted")
    parser.add_argument(
        "--files-elsewhere",
        action="store_true",
        help="the machines of the jobs alone have the lists, weights and folders: do not look for them here",
    )


def submit_parts(
    cfg: CfgNode,
    args: argparse.Namespace,
    *,
    part: Callable[..., object],
    last: Callable[[CfgNode], object],
    paths: Callable[[CfgNode], None] = check_paths,
) -> int:
    """Submit some work as ``args.array`` jobs, each with its part of it, and one more that ends it.

    Args:
        cfg: of all jobs.
        args: the options of :func:`add_cluster_options`, and ``array``.
        part: called with the configuration and ``shard``. An importable function, or a partial one; so is ``last``.
        last: called with the configuration, once all parts have succeeded.
        paths: see :class:`pvbias.cluster.Submission`.

    Returns:
        The exit code.

    Raises:
        ClusterError: see :class:`pvbias.cluster.Submission`.
    """
    submission = Submission(
        cfgs=[cfg] * args.array,
        folder=Path(cfg.OUTPUT_DIR),
        cluster=args.cluster,
        parallel=args.parallel,
        parts=[partial(part, shard=Shard(index, args.array)) for index in range(args.array)],
        last=last,
        paths=paths,
    )
    return carry_out(submission, args)


def carry_out(submission: Submission, args: argparse.Namespace) -> int:
    """Submit and say what was submitted; wait if asked to; or only print what would be submitted. The exit code.

    Args:
        submission: what, without the options of :func:`add_cluster_options`.
        args: these options.

    Raises:
        ClusterError: see :meth:`pvbias.cluster.Submission.submit` and :func:`wait`.
    """
    if args.cluster == "slurm":
        submission = _with_environment(submission)
    if args.files_elsewhere:
        submission = replace(submission, paths=None)
    elif args.cluster == "slurm" and submission.paths is not None:
        submission = replace(submission, paths=partial(_look_here, submission.paths))
    if args.dry_run:
        submission.check(elsewhere=True)
        if submission.cluster == "slurm" and not slurm.is_here():
            print(
                "There is no sbatch on PATH: whether the cluster has what is asked for was not checked.",
                file=sys.stderr,
            )
        script = [write_sbatch_script(submission)] if submission.cluster == "slurm" else []
        configs = dict.fromkeys(placed(cfg).dump() for cfg in submission.cfgs)
        print("\n---\n".join([*script, *configs]))
        return 0
    jobs = submission.submit()
    for job in jobs:
        print(f"job {job.id}: {job.output_dir}")
    if args.wait:
        wait(jobs)
        if submission.swept:
            print_table(jobs)
    return 0


def _with_environment(submission: Submission) -> Submission:
    """The submission with what sbatch's environment variables ask for; say what that is."""
    found = {id(cfg): with_environment(cfg) for cfg in submission.cfgs}
    _, taken, idle = next(iter(found.values()))
    for name, what in taken.items():
        print(f"{what} (of the environment, {name})", file=sys.stderr)
    if idle:
        print(f"Of no effect, since the configuration decides: {', '.join(idle)}", file=sys.stderr)
    return replace(submission, cfgs=[found[id(cfg)][0] for cfg in submission.cfgs])


def _look_here(paths: Callable[[CfgNode], None], cfg: CfgNode) -> None:
    try:
        paths(cfg)
    except PvbiasError as error:
        raise type(error)(f"{error} If the machines of the job alone have it: --files-elsewhere.") from error


def wait(jobs: Sequence[Job]) -> None:
    """Wait until all jobs are over.

    Raises:
        ClusterError: some failed; the message has what went wrong in each.
    """
    pause = 0.5
    states = current_states(jobs)
    while not all(map(is_over, states)):
        time.sleep(pause)
        pause = min(30.0, pause * 1.2)
        states = current_states(jobs)
    failed = [(job, state) for job, state in zip(jobs, states, strict=True) if state != "COMPLETED"]
    # Where a part has failed, the last job of an array never started: that is no news.
    failed = [(job, state) for job, state in failed if state != "CANCELLED" or job.attempts] or failed
    if failed:
        raise ClusterError(
            "\n\n".join(
                f"Job {job.id} ({job.output_dir}) is {state}, attempt {job.attempts}.\n{explain(job, state)}"
                for job, state in failed
            )
        )


def _combinations(sweep: Sequence[str]) -> list[dict[str, str]]:
    """All combinations of ``KEY=A,B`` texts; commas in brackets belong to a value."""
    values = {}
    for text in sweep:
        key, separator, listed = text.partition("=")
        if not (key and separator and listed):
            raise ConfigError(f"--sweep {text!r}: give KEY=VALUE,VALUE; keys that do not vary go before --sweep.")
        values[key] = re.split(r",(?![^\[(]*[\])])", listed)
        if len(set(values[key])) < len(values[key]):
            raise ConfigError(f"--sweep {text!r} has a value twice: both runs would write into the same folder.")
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def _overrides(folder: Path, combination: dict[str, str]) -> list[str]:
    name = re.sub(r"[^\w.=,+-]", "_", ",".join(f"{key}={value}" for key, value in combination.items()))
    return [text for pair in combination.items() for text in pair] + ["OUTPUT_DIR", str(folder / name)]
