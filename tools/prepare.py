"""Re-encode a data set once, with small frames and key frames close together, so that decoding clips of it is fast."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial

from fvcore.common.config import CfgNode

from pvbias.shard import Shard
from pvbias.transcoding.encoding import Encoding
from pvbias.transcoding.prepare import prepare

from .job_arrays import add_work_options, do_or_submit

EXAMPLES = """examples:
  # a folder of videos; its structure is kept
  pvbias prepare videos/ videos_256/
  # what an annotation names; videos_128/train.csv is the annotation with the new paths
  pvbias prepare lists/train.csv videos_128/ --path-prefix /data/kinetics --short-side 128 --workers 8
  # 20 jobs of 8 processes on a Slurm cluster, and one that writes the annotation
  pvbias prepare lists/train.csv videos_128/ --workers 8 --array 20 --set SLURM.PARTITION cpu SLURM.TIME 8:00:00

Run it again to go on after an interruption. Bad files are listed in OUT/bad_videos.jsonl and left out.
The exit code is 3 when more than --max-bad-fraction of the files are bad."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    return do_or_submit(args, partial(_prepare, args=args))


def _prepare(cfg: CfgNode | None = None, *, args: argparse.Namespace, shard: Shard | None) -> None:
    encoding = Encoding(short_side=args.short_side, gop=args.gop, crf=args.crf, preset=args.preset)
    summary = prepare(
        args.data,
        args.out,
        path_prefix=args.path_prefix,
        list_format=args.list_format,
        fps=args.fps,
        frame_prefix=args.frame_prefix,
        encoding=encoding,
        workers=args.workers,
        # How many are bad among all, the last job sees.
        max_bad_fraction=args.max_bad_fraction if shard is None else 1.0,
        shard=shard,
    )
    print(summary)


def _parser() -> argparse.ArgumentParser:
    default = Encoding()
    parser = argparse.ArgumentParser(
        prog="pvbias prepare",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", help="folder of videos, or annotation (a CSV of `path label` lines, a .jsonl)")
    parser.add_argument("out", help="folder for the new files")
    parser.add_argument(
        "--short-side",
        type=int,
        default=default.short_side,
        metavar="PIXELS",
        help="of the new files; smaller videos keep their size (default %(default)s)",
    )
    parser.add_argument(
        "--gop",
        type=int,
        default=default.gop,
        metavar="FRAMES",
        help="frames from one key frame to the next (default %(default)s)",
    )
    parser.add_argument(
        "--crf", type=int, default=default.crf, help="x264's quality, 0 (lossless) to 51 (default %(default)s)"
    )
    parser.add_argument("--preset", default=default.preset, help="x264's preset (default %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core, here %(default)s)"
    )
    add_work_options(parser)
    return parser
