"""Benchmark of generating BrushMNIST and Places+Faces+MNIST videos, beside the plain way, which searches the whole
frame for the next point of the skeleton, frame by frame."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from skimage.morphology import skeletonize
from tabulate import tabulate

from pvbias.config import load_cfg
from pvbias.data import VideoSource, build_source
from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.plugins.decoupled_videos.strokes import FORMS

EXAMPLES = """examples:
  pvbias benchmark generate
  # as in the paper, with MNIST's own digits
  pvbias benchmark generate --size 224 DECOUPLED.MNIST_DIR data/MNIST/raw"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark generate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, default=112, help="side of the frames, pixels (default 112)")
    parser.add_argument("--frames", type=int, default=32, help="of a clip (default 32)")
    parser.add_argument("--videos", type=int, default=100, help="in a round (default 100)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, each of all ways (default 5)")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys under DECOUPLED and others")
    args = parser.parse_intermixed_args(argv)
    print(benchmark(args.size, args.frames, args.videos, args.repeats, args.overrides))
    return 0


def benchmark(size: int, frames: int, videos: int, repeats: int, overrides: Sequence[str]) -> str:
    """A table of milliseconds a clip."""
    keys = ["DECOUPLED.SIZE", str(size), "DECOUPLED.TEST_VIDEOS", str(videos), *overrides]
    brush, places = (
        build_source(load_cfg(overrides=["TEST.DATASET", name, *keys]), "test")
        for name in ("brush_mnist", "places_faces_mnist")
    )
    cfg = load_cfg(overrides=keys)
    digits = load_digits(cfg.DECOUPLED.MNIST_DIR, "test")
    times = np.linspace(0, brush.open(brush.records[0]).duration, frames, endpoint=False)
    length = cfg.DECOUPLED.FRAMES

    def plain() -> None:
        for number in range(videos):
            index = number % len(digits.images)
            plain_video(digits.images[index], int(digits.labels[index]), digits.images[-1 - index], size, length)

    begin = time.perf_counter()
    _read_all(brush, times, size)
    first = 1000 * (time.perf_counter() - begin) / videos
    _read_all(places, times, size)
    ways: dict[str, Callable[[], None]] = {
        "BrushMNIST": lambda: _read_all(brush, times, size),
        "Places+Faces+MNIST": lambda: _read_all(places, times, size),
        f"plain search ({length} frames)": plain,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            taken[name].append(1000 * (time.perf_counter() - begin) / videos)
    taken = {"BrushMNIST, its digits seen for the first time": [first], **taken}
    base = statistics.median(taken["BrushMNIST"])
    rows = []
    for name, ms in taken.items():
        median = statistics.median(ms)
        rows.append((name, median, min(ms), max(ms), median / base))
    title = f"{frames} frames of {size} x {size}, {videos} videos, {repeats} rounds, one thread"
    headers = ("", "median ms a clip", "min", "max", "ratio")
    return title + "\n" + tabulate(rows, headers=headers, floatfmt=".2f")


def plain_video(shape: np.ndarray, digit: int, brush: np.ndarray, size: int, frames: int) -> np.ndarray:
    """BrushMNIST in the plain way (Appendix D, Algorithm 3): the skeleton of the digit at the size of the frame; in
    each frame, of all its pixels, the nearest one to where the principal directions lead, without those that have been
    visited. There is no frame without those before it.

    Args:
        shape, brush: uint8 ``(28, 28)``.
        digit: of ``shape``.
        size, frames: of the video.

    Returns:
        uint8 ``(frames, size, size)``.
    """
    large = np.asarray(Image.fromarray(shape).resize((size, size), Image.Resampling.BILINEAR))
    skeleton = skeletonize(large > 127)
    way = np.concatenate([np.cumsum([stroke.anchor, *stroke.directions], axis=0) for stroke in FORMS[digit][0]])
    moments = np.linspace(0, len(way) - 1, frames)
    targets = np.stack([np.interp(moments, range(len(way)), way[:, axis]) for axis in range(2)], axis=1) * size
    side = size // 8
    small = np.asarray(Image.fromarray(brush).resize((side, side), Image.Resampling.BILINEAR))
    video = np.zeros((frames, size, size), np.uint8)
    for frame, target in zip(video, targets, strict=True):
        y, x = np.nonzero(skeleton)
        nearest = np.argmin(np.hypot(x - target[0], y - target[1]))
        left, top = (min(int(corner[nearest]), size - side) for corner in (x, y))
        if len(x) > 1:
            skeleton[y[nearest], x[nearest]] = False
        frame[top : top + side, left : left + side] = small
    return video


def _read_all(source: VideoSource, times: np.ndarray, size: int) -> None:
    for record in source.records:
        source.open(record).read(times.tolist(), lambda height, width: (size, size))
