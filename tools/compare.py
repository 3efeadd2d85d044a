"""Put two or more measured runs side by side on one page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pvbias.report import write_comparison

EXAMPLES = """example:
  pvbias compare runs/baseline runs/debiased --out runs/comparison

Differences on the page refer to the first run. An earlier comparison in the folder is replaced."""


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias compare",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of measured runs (with a results.json)")
    parser.add_argument("--out", required=True, help="folder for report.html and the joined tables")
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error("give at least two runs")
    page = write_comparison([Path(run) for run in args.runs], Path(args.out))
    print(page)
    return 0
