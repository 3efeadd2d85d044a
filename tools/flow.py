"""Estimate the optical flow of a data set once, for decoders that predict it and recognizers that see it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from fvcore.common.config import CfgNode

from pvbias.hardware import available_cores
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.optical_flow import extract_flow
from pvbias.registries import FLOW
from pvbias.shard import Shard

from .job_arrays import add_work_options, do_or_submit

EXAMPLES = """examples:
  # what an annotation names; training then takes it with DATA.FLOW_DIR flow/
  pvbias flow extract lists/train.csv flow/ --path-prefix /data/ucf101
  # a hundred times faster; a folder of videos
  pvbias flow extract videos/ flow_dis/ --method dis --workers 8
  # 50 jobs of 8 processes on a Slurm cluster, and one that checks and sums up; `pvbias jobs flow/` lists them
  pvbias flow extract lists/train.csv flow/ --workers 8 --array 50 --set SLURM.PARTITION cpu SLURM.TIME 8:00:00

Videos are found again by the name that DATA has for them: give the annotation that training has.
Run it again to go on after an interruption. Bad files are listed in OUT/bad_videos.jsonl and left out.
The exit code is 3 when more than --max-bad-fraction of the files are bad."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    load_plugins()  # may have estimators
    FLOW.get(args.method)  # an unknown one is an error here, not in a job
    return do_or_submit(args, partial(_extract, args=args))


def _extract(cfg: CfgNode | None = None, *, args: argparse.Namespace, shard: Shard | None) -> None:
    load_plugins()  # may have estimators
    summary = extract_flow(
        args.data,
        args.out,
        method=args.method,
        short_side=args.short_side,
        path_prefix=args.path_prefix,
        list_format=args.list_format,
        fps=args.fps,
        frame_prefix=args.frame_prefix,
        workers=args.workers,
        # How many are bad among all, the last job sees.
        max_bad_fraction=args.max_bad_fraction if shard is None else 1.0,
        shard=shard,
    )
    print(summary)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pvbias flow", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    extract = commands.add_parser(
        "extract",
        help="write it as files",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    extract.add_argument("data", help="folder of videos, or annotation (a CSV of `path label` lines, a .jsonl)")
    extract.add_argument("out", help="folder for the files")
    extract.add_argument(
        "--method", default="tvl1", help="of estimation: `pvbias list flow` names them (default %(default)s)"
    )
    extract.add_argument(
        "--short-side",
        type=int,
        default=128,
        metavar="PIXELS",
        help="of the frames that flow is estimated between; smaller videos keep their size (default %(default)s)",
    )
    extract.add_argument(
        "--workers", type=int, default=available_cores(), help="processes (default: one a core, here %(default)s)"
    )
    add_work_options(extract)
    return parser
