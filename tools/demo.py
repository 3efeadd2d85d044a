"""Train one model on motion and one on appearance, on videos that look alike, and measure both."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pvbias.storage.addresses import on_a_disk

from . import compare, demo_videos, run_net

EXAMPLES = """examples:
  pvbias demo
  pvbias demo --out demo_1 RNG_SEED 1          # with another seed, or any other key of a configuration

Writes videos/, motion/, appearance/ (the two runs) and comparison/report.html below --out. It takes minutes on two
cores and downloads nothing. Interrupted, the same command goes on."""

#: The runs, each with a configuration of that name.
RUNS = ("motion", "appearance")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias demo",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=on_a_disk, default="demo", help="folder of all results (default %(default)s)")
    parser.add_argument(
        "overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="keys that override those of both runs"
    )
    args = parser.parse_args(argv)
    out = Path(args.out)
    demo_videos.main(["--out", str(out / "videos")])
    for name in RUNS:
        with resources.as_file(resources.files("pvbias.quickstart")) as folder:
            own = ["DATA.PATH_TO_DATA_DIR", str(out / "videos" / name), "OUTPUT_DIR", str(out / name)]
            run_net.main(["--cfg", str(folder / f"{name}.yaml"), *own, *args.overrides])
    return compare.main([*(str(out / name) for name in RUNS), "--out", str(out / "comparison")])
