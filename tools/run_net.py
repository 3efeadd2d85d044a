"""Train, test and measure as a configuration says; the entry point that SlowFast users expect."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pvbias.lazy import many_imports

EXAMPLES = """examples:
  pvbias run --cfg projects/quickstart/motion.yaml
  pvbias run --cfg my.yaml TRAIN.CHECKPOINT_FILE_PATH zoo://pytorchvideo/x3d_s/kinetics400 SOLVER.BASE_LR 0.01
  pvbias run --cfg my.yaml TRAIN.ENABLE False          # test and measure only
  torchrun --nproc-per-node 8 tools/run_net.py --cfg my.yaml

Every key, its unit, its range and what it means: `pvbias list keys`."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias run",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML configuration")
    parser.add_argument(
        "overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="keys that override the file's"
    )
    args = parser.parse_args(argv)
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    with many_imports():
        from pvbias.config import load_cfg
        from pvbias.engine import launch
        from pvbias.run import run

        cfg = load_cfg(args.cfg, args.overrides)
    launch(run, cfg)
    return 0


if __name__ == "__main__":
    from pvbias.tools.main import guard

    sys.exit(guard(main, sys.argv[1:]))
