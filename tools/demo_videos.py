"""Write two small labelled sets of videos with the same look: in ``motion/`` the label is how a shape moves, in
``appearance/`` which colour it has.

Both sets hold videos of the same kind: over a still background, a shape crosses the frame sideways, leaves it on one
side and comes in again on the other. Only the labels differ. A model trained on ``motion/`` has nothing but the order
of the frames to go by; one trained on ``appearance/`` can read the answer off any single frame.

That the first half of this holds *exactly* is by construction. The shape visits ``CYCLE`` equally spaced places, in
steps of +-1 or +-2 places; both are coprime to ``CYCLE``, so that any ``CYCLE`` consecutive frames show it once in each
place whatever its motion. The four motions therefore show the same *set* of frames, which is all that is left of a clip
when its frames are shuffled.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageDraw

from pvbias.data.workers import worker_context
from pvbias.errors import ConfigError
from pvbias.storage.addresses import on_a_disk

#: Places that the shape visits, and frames that it takes to visit each of them once.
CYCLE = 9
#: Places moved from one frame to the next, by class of ``motion/``.
MOTIONS = {"left": -1, "right": 1, "left_fast": -2, "right_fast": 2}
#: Hue of each class of ``appearance/``, turns of the colour circle.
COLOURS = {"red": 0.0, "yellow": 0.15, "green": 0.37, "blue": 0.6}
#: Corners of the shapes, in units of half the shape's size, y downwards; the disc has none.
SHAPES: dict[str, list[tuple[float, float]]] = {
    "disc": [],
    "bar": [(-0.5, -1), (0.5, -1), (0.5, 1), (-0.5, 1)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "cross": [
        *[(-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4)],
        *[(0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)],
    ],
}
PATTERNS = ("plain", "stripes", "checks", "dots")
SETS = ("motion", "appearance")
FRAME_SIZE = 16 * CYCLE  # pixels; the same number for each place
FRAME_RATE = 12
NUM_FRAMES = 2 * CYCLE  # so that a clip of CYCLE frames may start anywhere in the first half
SUPERSAMPLING = 3
#: Without mbtree, whose vectorised code does not give the same bytes every time.
X264 = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}


@dataclass(frozen=True)
class DemoVideo:
    """One video to write.

    Attributes:
        path: of the file, relative to the output folder.
        motion, colour: keys of MOTIONS and COLOURS.
        seed: of everything else about it (shape, size, pattern, start, height, background).
    """

    path: str
    motion: str
    colour: str
    seed: tuple[int, ...]


def write_demo_videos(
    out_dir: str | Path, *, seed: int = 0, num_train: int = 256, num_test: int = 96, workers: int = 2
) -> dict[str, Path]:
    """Write both sets; a pure function of the seed and the counts.

    ::

        out_dir/motion/{train,test}/00000.mp4 ...     train.csv test.csv (`path class_name`)
        out_dir/appearance/...                        the same

    Args:
        out_dir: made when missing.
        seed: of everything, >= 0.
        num_train, num_test: videos in each split of each set; multiples of 16, so that labels and the attribute that is
            not the label are balanced and independent.
        workers: processes, >= 1.

    Returns:
        The folder of each set, by name.

    Raises:
        ConfigError: a count that is not a positive multiple of 16.
    """
    out_dir = Path(out_dir)
    videos: list[DemoVideo] = []
    for set_index, set_name in enumerate(SETS):
        folder = out_dir / set_name
        for split_index, (split, count) in enumerate({"train": num_train, "test": num_test}.items()):
            (folder / split).mkdir(parents=True, exist_ok=True)
            split_videos = _plan(f"{set_name}/{split}", count, (seed, set_index, split_index))
            labels = [video.motion if set_name == "motion" else video.colour for video in split_videos]
            lines = [
                f"{split}/{Path(video.path).name} {label}\n" for video, label in zip(split_videos, labels, strict=True)
            ]
            (folder / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
            videos += split_videos
    write = partial(_write_video, out_dir)
    if workers == 1:
        for video in videos:
            write(video)
    else:
        with ProcessPoolExecutor(workers, mp_context=worker_context(__name__, sent=write)) as pool:
            list(pool.map(write, videos, chunksize=8))
    return {set_name: out_dir / set_name for set_name in SETS}


def render(video: DemoVideo) -> np.ndarray:
    """The frames of a video, uint8 RGB ``(NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)``."""
    generator = np.random.default_rng(video.seed)
    background = _background(generator)
    sprite, mask = _sprite(COLOURS[video.colour], generator)
    size = len(sprite)
    start, top = generator.integers(CYCLE), generator.integers(FRAME_SIZE - size + 1)
    columns = np.arange(size)
    frames = np.repeat(background[None], NUM_FRAMES, axis=0)
    for index, frame in enumerate(frames):
        place = (start + index * MOTIONS[video.motion]) % CYCLE
        across = (place * FRAME_SIZE // CYCLE + columns) % FRAME_SIZE
        frame[top : top + size, across] += mask * (sprite - frame[top : top + size, across])
    return (frames * 255).round().astype(np.uint8)


def _plan(folder: str, count: int, seed: tuple[int, ...]) -> list[DemoVideo]:
    """``count`` videos with each pair (motion, colour) equally often, in random order."""
    pairs = list(itertools.product(MOTIONS, COLOURS))
    if count <= 0 or count % len(pairs):
        raise ConfigError(f"{count} videos for {folder}: give a positive multiple of {len(pairs)}.")
    order = np.random.default_rng(seed).permutation(count)
    drawn = [pairs[i % len(pairs)] for i in order]
    return [
        DemoVideo(path=f"{folder}/{i:05d}.mp4", motion=motion, colour=colour, seed=(*seed, i))
        for i, (motion, colour) in enumerate(drawn)
    ]


def _background(generator: np.random.Generator) -> np.ndarray:
    """Soft clouds of two muted colours, float32 in [0, 1], ``(FRAME_SIZE, FRAME_SIZE, 3)``."""
    coarse = generator.random((5, 5), dtype=np.float32)
    soft = Image.fromarray(coarse).resize((FRAME_SIZE, FRAME_SIZE), Image.Resampling.BICUBIC)
    weight = np.clip(np.asarray(soft), 0, 1)[..., None]
    hues = generator.random(2)
    dark, light = (_colour(hue, saturation=0.35, value=value) for hue, value in zip(hues, (0.2, 0.45), strict=True))
    return dark + weight * (light - dark)


def _sprite(hue: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours ``(S, S, 3)`` and coverage ``(S, S, 1)`` of a patterned shape, float32 in [0, 1]."""
    shape = str(generator.choice(list(SHAPES)))
    size = int(generator.integers(52, 69))
    fine = size * SUPERSAMPLING
    canvas = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(canvas)
    if shape == "disc":
        draw.ellipse((0.06 * fine, 0.06 * fine, 0.94 * fine, 0.94 * fine), fill=255)
    else:
        draw.polygon([((1 + x) * fine / 2, (1 + y) * fine / 2) for x, y in SHAPES[shape]], fill=255)
    mask = np.asarray(canvas.resize((size, size), Image.Resampling.BOX), dtype=np.float32)[..., None] / 255
    hue += generator.uniform(-0.03, 0.03)
    bright = _colour(hue, saturation=0.8, value=generator.uniform(0.85, 1))
    second = _colour(hue, saturation=generator.uniform(0.2, 0.5), value=generator.uniform(0.7, 1))
    pattern = _pattern(str(generator.choice(PATTERNS)), size, generator)
    return bright + pattern[..., None] * (second - bright), mask


def _pattern(name: str, size: int, generator: np.random.Generator) -> np.ndarray:
    """The weight of the second colour at each pixel, float32 in {0, 1}, ``(size, size)``."""
    y, x = np.mgrid[:size, :size]
    period = int(generator.integers(12, 21))
    if name == "plain":
        return np.zeros((size, size), dtype=np.float32)
    if name == "stripes":
        across = (y, x, x + y, x - y)[generator.integers(4)]
        return (across % period < period / 2).astype(np.float32)
    if name == "checks":
        return ((y // (period // 2) + x // (period // 2)) % 2).astype(np.float32)
    return ((y % period - period / 2) ** 2 + (x % period - period / 2) ** 2 < (period / 3.2) ** 2).astype(np.float32)


def _colour(hue: float, *, saturation: float, value: float) -> np.ndarray:
    """RGB, float32 in [0, 1], ``(3,)``."""
    offset = (np.array([5, 3, 1]) + hue * 6) % 6
    return (value * (1 - saturation * np.clip(np.minimum(offset, 4 - offset), 0, 1))).astype(np.float32)


def _write_video(out_dir: Path, video: DemoVideo) -> None:
    """Encode one video (H.264, one thread, the same bytes every time)."""
    with av.open(str(out_dir / video.path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=X264)
        stream.width = stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        converter = VideoReformatter()
        for index, image in enumerate(render(video)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = converter.reformat(frame, format="yuv420p", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Write the two small sets of videos of the demo.",
        epilog="example: python tools/demo_videos.py --out demo/videos --seed 1",
    )
    parser.add_argument("--out", required=True, type=on_a_disk, help="folder to write to; made when missing")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything, >= 0 (default: %(default)s)")
    parser.add_argument(
        "--num-train", type=int, default=256, help="training videos of a set, a multiple of 16 (default: %(default)s)"
    )
    parser.add_argument(
        "--num-test", type=int, default=96, help="test videos of a set, likewise (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    args = parser.parse_args(argv)
    written = write_demo_videos(
        args.out, seed=args.seed, num_train=args.num_train, num_test=args.num_test, workers=args.workers
    )
    for name, folder in written.items():
        print(f"{name}: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
