"""How well the pen's motions tell the digit, by the walk that videos are made with and by the paper's Algorithm 3.

python projects/temporality/trajectories.py --each 20

Each test digit's motion is given the class of the nearest motion of a training digit; forwards, and backwards, which
is what a network that has learnt motion ought not to recognise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np

from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.plugins.decoupled_videos.trajectories import PATHS, positions
from pvbias.tools.main import guard


def motions(
    follow: Callable[[np.ndarray, int], np.ndarray], folder: str, split: str, *, each: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pen's positions ``(N, frames, 2)`` along the first digits of each class, and their labels ``(N,)``."""
    digits = load_digits(folder, split)
    chosen = np.concatenate([indices[:each] for indices in digits.of_class])
    paths = [follow(digits.images[index], int(digits.labels[index])) for index in chosen]
    return np.stack([positions([path], frames) for path in paths]), digits.labels[chosen]


def nearest(queries: np.ndarray, known: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label of the nearest known motion, by squared distances summed over time."""
    return labels[[((known - query) ** 2).sum(axis=(1, 2)).argmin() for query in queries]]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist-dir", default="", help="folder of MNIST's files; without: scikit-learn's digits")
    parser.add_argument("--each", type=int, default=20, help="digits of each class, of either split (default 20)")
    parser.add_argument("--frames", type=int, default=16, help="positions of the pen (default 16)")
    arguments = parser.parse_args(argv)
    if min(arguments.each, arguments.frames) < 1:
        parser.error("--each and --frames are 1 or more")
    print("| | forwards | reversed |\n|---|---|---|")
    size = {"each": arguments.each, "frames": arguments.frames}
    for name, follow in PATHS.items():
        known, labels = motions(follow, arguments.mnist_dir, "train", **size)
        queries, truth = motions(follow, arguments.mnist_dir, "test", **size)
        right = [np.mean(nearest(way, known, labels) == truth) for way in (queries, queries[:, ::-1])]
        print(f"| `{name}` | {right[0]:.1%} | {right[1]:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
