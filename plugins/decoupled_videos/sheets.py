"""Contact sheets of the digits' trajectories and of the videos.

::

    python -m pvbias.plugins.decoupled_videos.sheets OUT [--mnist-dir DIR] [--places-dir DIR] [--faces-dir DIR]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from fvcore.common.config import CfgNode
from PIL import Image, ImageDraw, ImageFont

from pvbias.config import get_cfg
from pvbias.errors import PvbiasError
from pvbias.registries import DATASET

from . import add_config
from .mnist import load_digits
from .rendering import MovingImage
from .trajectories import pen_strokes

#: Digits of each class on the sheet of digits, and the side of one, pixels.
_DIGITS, _DIGIT_SIDE = 10, 64
#: Which videos are shown: with 10 x 10 and with 8 x 16 classes no two of them have a factor in common.
_BRUSH_VIDEOS, _PLACE_VIDEOS = (12, 37, 68, 84), (3, 28, 47, 70)
#: Frames of a video in a picture (as many as in figures 5 and 6), and in an animation with its length in seconds.
_BRUSH_FRAMES, _PLACE_FRAMES = 10, 3
_GIF_FRAMES, _GIF_SECONDS = 40, 5.0
_GIF_COLOURS = 127
#: Pixels between images, and for a line of text under one.
_GAP, _TEXT_HEIGHT = 4, 18
_WHITE, _BLACK, _YELLOW = (255, 255, 255), (0, 0, 0), (255, 230, 0)


def draw_sheets(
    folder: Path, *, mnist_dir: str = "", places_dir: str = "", faces_dir: str = "", size: int = 112
) -> list[Path]:
    """Write ``digits.png``, ``brush_mnist.png`` and ``places_faces_mnist.png`` (after figures 5 and 6), and
    ``brush_mnist.gif`` and ``places_faces_mnist.gif``, all of the test split.

    Args:
        folder: made if need be.
        mnist_dir, places_dir, faces_dir: as the keys under DECOUPLED.
        size: side of the videos' frames, pixels, which is also their size in the pictures.

    Returns:
        The files.

    Raises:
        ConfigError, DataError: as the data sets do.
    """
    cfg = get_cfg()
    add_config(cfg)
    keys = cfg.DECOUPLED
    keys.MNIST_DIR, keys.PLACES_DIR, keys.FACES_DIR, keys.SIZE = mnist_dir, places_dir, faces_dir, size
    brush, places = _videos("brush_mnist", cfg, _BRUSH_VIDEOS), _videos("places_faces_mnist", cfg, _PLACE_VIDEOS)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in ("digits.png", "brush_mnist.png", "places_faces_mnist.png")]
    digit_sheet(mnist_dir).quantize(128).save(files[0], optimize=True)
    _rows(brush, lambda video: _over_footprint(video, _BRUSH_FRAMES)).save(files[1], optimize=True)
    _rows(places, lambda video: _with_way(video, _PLACE_FRAMES)).save(files[2], optimize=True)
    for name, videos in (("brush_mnist.gif", brush), ("places_faces_mnist.gif", places)):
        files.append(folder / name)
        _save_gif(files[-1], videos)
    return files


def digit_sheet(mnist_dir: str) -> Image.Image:
    """A row for each digit 0 .. 9: images of the test split with the pen's way over them. It begins at the dot, goes
    from blue to red and ends in the arrow; a ring is where the pen is set down again."""
    digits = load_digits(mnist_dir, "test")
    cells = []
    for digit, indices in enumerate(digits.of_class):
        chosen = indices[np.linspace(0, len(indices) - 1, _DIGITS).round().astype(int)]
        cells.append([_digit_cell(digits.images[index], digit) for index in chosen])
    return _grid(cells)


def _digit_cell(image: np.ndarray, digit: int) -> Image.Image:
    fine = 4  # drawn this many times as large, for smooth edges
    side = _DIGIT_SIDE * fine
    paper = Image.fromarray(255 - image // 5).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(paper)
    strokes = [(stroke + 0.5) * side / len(image) for stroke in pen_strokes(image, digit)]
    times = np.linspace(0.05, 0.95, sum(len(stroke) for stroke in strokes))
    colours = [tuple(colour) for colour in matplotlib.colormaps["turbo"](times, bytes=True)[:, :3].tolist()]
    number, width = 0, round(0.03 * side)
    for stroke in strokes:
        for start, end in pairwise(stroke):
            draw.line([*start, *end], fill=colours[number], width=width)
            _dot(draw, end, width / 2, fill=colours[number])
            number += 1
        number += 1
    for stroke in reversed(strokes):
        first = stroke is strokes[0]
        _dot(draw, stroke[0], 1.6 * width, fill=_BLACK if first else _WHITE, outline=_BLACK, width=width // 2)
    _arrow_head(draw, strokes[-1], 3.2 * width, colours[-1])
    return paper.resize((_DIGIT_SIDE, _DIGIT_SIDE), Image.Resampling.LANCZOS)


def _dot(draw: ImageDraw.ImageDraw, at: np.ndarray, radius: float, **style: object) -> None:
    draw.ellipse([*(at - radius), *(at + radius)], **style)  # type: ignore[arg-type]


def _arrow_head(draw: ImageDraw.ImageDraw, stroke: np.ndarray, length: float, colour: tuple[int, ...]) -> None:
    ahead = stroke[-1] - stroke[-min(6, len(stroke))]
    ahead = ahead / max(np.hypot(*ahead), 1e-6) * length
    aside = 0.6 * np.array([-ahead[1], ahead[0]])
    middle = stroke[-1] - 0.4 * ahead
    draw.polygon([tuple(point) for point in (middle + ahead, middle + aside, middle - aside)], fill=colour)


def _videos(dataset: str, cfg: CfgNode, indices: Sequence[int]) -> dict[str, MovingImage]:
    """Some videos of a data set by the names of their classes."""
    cfg.DECOUPLED.TEST_VIDEOS = max(indices) + 1
    source = DATASET.get(dataset)(cfg, "test")
    records = [source.records[index] for index in indices]
    return {source.class_names[record.label]: source.open(record) for record in records}


def _frames(video: MovingImage, number: int) -> tuple[np.ndarray, np.ndarray]:
    """``number`` frames from the first to the last, uint8 RGB, and which ones they are."""
    times = video.timestamps
    shown = np.linspace(0, len(times) - 1, number).round().astype(int)
    return video.read(times[shown].tolist(), lambda height, width: (height, width)), shown


def _over_footprint(video: MovingImage, number: int) -> list[Image.Image]:
    """Frames over the maximum of all frames in red (figure 5)."""
    everything, _ = _frames(video, len(video.timestamps))
    footprint = everything.max(axis=0)[..., 0]
    frames, _ = _frames(video, number)
    frames[..., 0] = np.maximum(frames[..., 0], footprint)
    return [Image.fromarray(frame) for frame in frames]


def _with_way(video: MovingImage, number: int) -> list[Image.Image]:
    """Frames with the way of the moving image's middle as a dotted line (figure 6)."""
    images = []
    for frame in _frames(video, number)[0]:
        image = Image.fromarray(frame)
        draw = ImageDraw.Draw(image)
        spacing, last = image.width / 28, np.full(2, -np.inf)
        for centre in video.centres:
            if np.hypot(*(centre - last)) >= spacing:
                _dot(draw, centre, max(1, image.width / 96), fill=_YELLOW)
                last = centre
        images.append(image)
    return images


def _rows(videos: dict[str, MovingImage], images: Callable[[MovingImage], list[Image.Image]]) -> Image.Image:
    """A row of images for each video, with its name under it."""
    rows = [_captioned(_grid([images(video)]), name) for name, video in videos.items()]
    return _grid([[row] for row in rows])


def _save_gif(file: Path, videos: dict[str, MovingImage]) -> None:
    """The videos side by side, each with its name under it."""
    columns = []
    for name, video in videos.items():
        columns.append([_captioned(Image.fromarray(frame), name) for frame in _frames(video, _GIF_FRAMES)[0]])
    frames = [_grid([list(images)]) for images in zip(*columns, strict=True)]
    # One palette for all frames, so that what stands still is stored once.
    palette = _grid([[frames[0]], [frames[_GIF_FRAMES // 2]]]).quantize(_GIF_COLOURS)
    coded = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = round(1000 * _GIF_SECONDS / _GIF_FRAMES)
    coded[0].save(file, save_all=True, append_images=coded[1:], duration=duration, loop=0)


def _captioned(image: Image.Image, text: str) -> Image.Image:
    whole = Image.new("RGB", (image.width, image.height + _TEXT_HEIGHT), _WHITE)
    whole.paste(image)
    draw = ImageDraw.Draw(whole)
    font_file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    size = _TEXT_HEIGHT - 6
    while (font := ImageFont.truetype(font_file, size)).getlength(text) > image.width and size > 6:
        size -= 1
    draw.text((image.width / 2, image.height + _TEXT_HEIGHT / 2), text, fill=_BLACK, font=font, anchor="mm")
    return whole


def _grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Images of one size in rows, with gaps between them."""
    width, height = rows[0][0].size
    columns = len(rows[0])
    size = (columns * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP)
    whole = Image.new("RGB", size, _WHITE)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            whole.paste(image, (x * (width + _GAP), y * (height + _GAP)))
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pvbias.plugins.decoupled_videos.sheets",
        description="Draw sheets of digits with the pen's way over them, and pictures and animations of the videos.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write to")
    parser.add_argument("--mnist-dir", default="", help="folder with MNIST's IDX files (scikit-learn's digits)")
    parser.add_argument(
        "--places-dir", default="", help="folder with a subfolder of images a place (default: procedural)"
    )
    parser.add_argument("--faces-dir", default="", help="folder of face images (default: procedural)")
    parser.add_argument("--size", type=int, default=112, help="side of the videos' frames, pixels (%(default)s)")
    options = parser.parse_args(argv)
    try:
        files = draw_sheets(
            options.out,
            mnist_dir=options.mnist_dir,
            places_dir=options.places_dir,
            faces_dir=options.faces_dir,
            size=options.size,
        )
    except PvbiasError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for file in files:
        print(f"{file} ({file.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
