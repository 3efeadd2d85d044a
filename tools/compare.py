"""Put two or more measured runs side by side on one page."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)

EXAMPLES = """example:
  pvbias compare runs/baseline runs/debiased --out runs/comparison

Differences on the page refer to the first run. An earlier comparison in the folder is replaced, but
for its log."""


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias compare",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of measured runs (with a results.json)")
    parser.add_argument("--out", required=True, help="folder for report.html, the joined tables and log.txt")
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error("give at least two runs")
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    from pvbias.report import write_comparison
    from pvbias.report.console import headline_table
    from pvbias.report.folder import refuse_run
    from pvbias.report.page import read_runs
    from pvbias.run import kept_log

    refuse_run(args.out)
    runs = read_runs(args.runs)
    with kept_log(args.out):
        page = write_comparison(args.runs, args.out)
        logger.info("Comparison: %s\n\n%s\n", page, headline_table(runs))
    print(page)
    return 0
