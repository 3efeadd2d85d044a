"""Join a trained model on RGB and one on optical flow to one two-stream network, to measure or to train further."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Sequence

from pvbias.storage.addresses import on_a_disk

EXAMPLES = """examples:
  # two published models; then measure the network with its optical flow
  pvbias join --rgb inception_i3d zoo://classic_models/inception_i3d/kinetics400 \\
      --flow inception_i3d_flow zoo://classic_models/inception_i3d_flow/kinetics400 --out two_stream.pyth
  pvbias measure --model TwoStream --weights two_stream.pyth --data val.csv --out runs/two_stream \\
      --set DATA.FLOW_DIR flow/
  # a network on RGB and 5 stacked flow frames to train from, both streams from weights on RGB (as TSN starts)
  pvbias join --rgb tsn_r50 rgb.pyth --flow tsn_r50 rgb.pyth --flow-frames 5 --new-head --out start.pyth

The network's logits are the weighted sum of both models' logits. `pvbias fuse` averages the predictions of two runs
that were measured apart instead, which needs no common clips."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias join",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stream = ("MODEL", "WEIGHTS")
    parser.add_argument("--rgb", nargs=2, required=True, metavar=stream, help="model on RGB: its name, its checkpoint")
    parser.add_argument("--flow", nargs=2, required=True, metavar=stream, help="likewise on flow, or on RGB to adapt")
    parser.add_argument(
        "--flow-frames", type=int, default=1, metavar="K", help="flow frames at each frame of a clip (default 1)"
    )
    parser.add_argument(
        "--weights", nargs=2, type=float, default=[1.0, 1.0], metavar="W", help="of RGB and of flow (default 1 1)"
    )
    parser.add_argument(
        "--new-head", action="store_true", help="leave the final projections out: for training on other classes"
    )
    parser.add_argument("--out", required=True, metavar="FILE", type=on_a_disk, help="checkpoint to write")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    args = parser.parse_args(argv)
    if not all(0 < weight < math.inf for weight in args.weights):
        parser.error("weights must be numbers above 0")
    if args.flow_frames < 1:
        parser.error(f"--flow-frames {args.flow_frames}: give one or more")
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    from pvbias.plugin_loading import load_plugins
    from pvbias.plugins.two_stream import FAMILY, join

    load_plugins(args.plugins)
    reports = join(
        tuple(args.rgb),
        tuple(args.flow),
        args.out,
        num_flow_frames=args.flow_frames,
        weights=tuple(args.weights),
        new_head=args.new_head,
    )
    for report in reports:
        print(report)
    command = f"pvbias measure --model {FAMILY} --weights {shlex.quote(args.out)} --data VIDEOS --out RUN"
    if args.new_head:
        print(f"\nTo train from it: MODEL.MODEL_NAME {FAMILY} TRAIN.CHECKPOINT_FILE_PATH {shlex.quote(args.out)}")
    else:
        print(f"\nTo measure it:\n  {command} --set DATA.FLOW_DIR FLOW")
    return 0
