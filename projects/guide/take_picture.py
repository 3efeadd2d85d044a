"""Take a picture of a page: what a browser shows of it first, as PNG.

python projects/guide/take_picture.py demo/comparison/report.html projects/guide/page.png

needs Chromium or Chrome on PATH, or `--browser`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pvbias.errors import ConfigError
from pvbias.tools.main import guard

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="HTML file")
    parser.add_argument("picture", type=Path, help="PNG file")
    parser.add_argument(
        "--size", default="1000,1000", metavar="W,H", help="of the window, pixels (default %(default)s)"
    )
    parser.add_argument("--browser", help=f"default: the first of {', '.join(BROWSERS)} on PATH")
    args = parser.parse_args(argv)
    browser = args.browser or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise ConfigError(f"None of {', '.join(BROWSERS)} is on PATH: install one, or give --browser.")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={args.size}"]
    picture = args.picture.resolve()
    command = [browser, *options, f"--screenshot={picture}", args.page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not picture.exists():
        raise ConfigError(f"{browser} took no picture of {args.page}: {done.stderr.strip()[-500:]}")
    print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
