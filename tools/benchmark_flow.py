"""Benchmark of optical flow estimators: time and end-point errors on an image that moves."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
from skimage import data
from tabulate import tabulate

from pvbias.errors import PvbiasError
from pvbias.plugin_loading import load_plugins
from pvbias.registries import FLOW

EXAMPLES = """examples:
  pvbias benchmark flow
  pvbias benchmark flow --methods dis raft_large --size 224"""

#: To the right and down, pixels; multiples of a half.
MOTIONS = ((0.5, 0.0), (1.5, -1.0), (6.0, 2.5), (-12.0, 8.0))


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark flow",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="some of `pvbias list flow` (default: all)")
    parser.add_argument("--size", type=int, default=128, help="side of the frames, 16 to 224 pixels (default 128)")
    parser.add_argument("--repeats", type=int, default=5, help="of each pair (default 5)")
    args = parser.parse_args(argv)
    if not 16 <= args.size <= 224:
        parser.error(f"--size is {args.size}: give a number from 16 to 224")
    load_plugins()
    print(benchmark(args.methods or FLOW.names(), args.size, args.repeats))
    return 0


def benchmark(methods: Sequence[str], size: int, repeats: int) -> str:
    """A table of milliseconds and mean end-point errors; methods that cannot be had are named below it."""
    rows, missing = [], []
    for name in methods:
        build = FLOW.get(name)
        try:
            estimator = build()
        except PvbiasError as error:
            missing.append(f"{name} is left out: {error}")
            continue
        taken, errors = [], []
        for motion in MOTIONS:
            first, second = moved_photograph((0.0, 0.0), size), moved_photograph(motion, size)
            for _ in range(repeats):
                begin = time.perf_counter()
                vectors = estimator(first, second)
                taken.append(1000 * (time.perf_counter() - begin))
            errors.append(float(np.linalg.norm(vectors - np.array(motion), axis=-1).mean()))
        rows.append((name, statistics.median(taken), *errors))
    title = f"frames of {size} x {size}, {repeats} times each pair; mean end-point error in pixels by motion"
    headers = ("", "median ms a pair", *(f"({right:g}, {down:g})" for right, down in MOTIONS))
    return "\n".join([title, tabulate(rows, headers=headers, floatfmt=".2f"), *missing])


def moved_photograph(way: tuple[float, float], size: int) -> np.ndarray:
    """A photograph shifted to the right and down by ``way`` pixels, multiples of a half: pixels of twice the size are
    averaged, none is interpolated. uint8 ``(size, size, 3)``."""
    left, top = (32 - round(2 * component) for component in way)
    part = data.astronaut()[top : top + 2 * size, left : left + 2 * size].astype(np.float32)
    return part.reshape(size, 2, size, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
