"""Put two or more measured runs side by side on one page."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import yaml

from pvbias.storage.addresses import on_a_disk

if TYPE_CHECKING:
    from pvbias.report import RunResults

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  pvbias compare runs/baseline runs/debiased --out runs/comparison
  # with the headlines and sections of a plugin that is not installed, but importable
  pvbias compare runs/baseline runs/debiased --out runs/comparison --plugins my_lab.my_plugin

Differences on the page refer to the first run. An earlier comparison in the folder is replaced, but
for its log."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias compare",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of measured runs (with a results.json)")
    parser.add_argument(
        "--out", required=True, type=on_a_disk, help="folder for report.html, the joined tables and log.txt"
    )
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import")
    args = parser.parse_args(argv)
    if len(args.runs) < 2:
        parser.error("give at least two runs")
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    from pvbias.plugin_loading import load_plugins
    from pvbias.report import write_comparison
    from pvbias.report.console import headline_table
    from pvbias.report.folder import refuse_run
    from pvbias.report.page import read_runs
    from pvbias.run import kept_log

    refuse_run(args.out)
    load_plugins(args.plugins)
    runs = read_runs(args.runs)
    with kept_log(args.out):
        # Not imported because a folder says so, which may be somebody else's.
        if unknown := sorted({name for run in runs for name in _plugins(run)} - sys.modules.keys()):
            logger.warning("Figures of plugins of these runs go by their names: add --plugins %s", " ".join(unknown))
        page = write_comparison(args.runs, args.out)
        logger.info("Comparison: %s\n\n%s\n", page, headline_table(runs))
    print(page)
    return 0


def _plugins(run: RunResults) -> list[str]:
    """PLUGINS of a run's configuration; none where what is kept of it is not one."""
    try:
        cfg = yaml.safe_load(run.config)
    except yaml.YAMLError:
        return []
    names = cfg.get("PLUGINS") if isinstance(cfg, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
