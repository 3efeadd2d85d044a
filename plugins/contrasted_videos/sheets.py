"""A sheet of what the clips of this plugin show.

::

    python -m pvbias.plugins.contrasted_videos.sheets FILE [--modulations SPEC ...] [--set KEY VALUE ...]
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pvbias.clips import modulation, view_seeds
from pvbias.config import load_cfg
from pvbias.data import TestVideo, build_source, build_test_loader
from pvbias.errors import DataError, PvbiasError

#: What is shown unless something else is asked for.
SPECS = (
    "original",
    "scuba",
    "scufo",
    "background_only",
    "human_only",
    "action_swap(aligned=False)",
    "appearance_free",
    "restyle",
    "restyle(style=lines)",
    "restyle(style=mosaic)",
)

#: The videos, unless --set says others, and their clips.
_KEYS = {
    "TEST.DATASET": "places_faces_mnist",
    "DECOUPLED.SIZE": 80,
    "DECOUPLED.FRAMES": 60,
    "DECOUPLED.TEST_VIDEOS": 8,
    "DATA.NUM_FRAMES": 6,
    "DATA.SAMPLING_RATE": 8,
    "DATA.TARGET_FPS": 30.0,
    "DATA.TEMPORAL_SAMPLING": "rate",
    "DATA.TEST_CROP_SIZE": 80,
    "DATA.TEST_SHORT_SIDE": 80,
    "DATA_LOADER.NUM_WORKERS": 0,
    "MODEL.NUM_CLASSES": 1_000_000,
    "TEST.NUM_ENSEMBLE_VIEWS": 1,
    "TEST.NUM_SPATIAL_CROPS": 1,
    "TRAIN.ENABLE": False,
}

#: Pixels between images and for the words beside them, and their size and length in letters.
_GAP, _WORDS, _TEXT_SIZE, _COLUMNS = 3, 200, 11, 28


def draw_sheet(keys: Sequence[str] = (), specs: Sequence[str] = SPECS) -> Image.Image:
    """Draw the first test video's clip: a row of its frames for each modulation, and beside it what it is called.

    Args:
        keys: of the configuration and their values, one after another, as on a command line.
        specs: of the modulations.

    Raises:
        ConfigError, DataError: as for an evaluation on these videos.
    """
    cfg = load_cfg(None, [str(each) for pair in _KEYS.items() for each in pair] + list(keys))
    modulations = [modulation(spec) for spec in specs]
    tracks = tuple(dict.fromkeys(name for each in modulations for name in each.tracks))
    loader = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1, split="test", tracks=tracks)
    video = next(iter(loader))
    if not isinstance(video, TestVideo):
        raise DataError(f"{video.name} cannot be shown: {video.cause}, {video.detail}")
    seeds = view_seeds(cfg.RNG_SEED, video.record.name, 1)
    own = {name: values[:1] for name, values in video.tracks.items()}
    rows = [(each.spec, each.label, each.modulate(video.clips[:1], seeds, own)[0]) for each in modulations]
    return _sheet(rows)


def _sheet(rows: Sequence[tuple[str, str, Tensor]]) -> Image.Image:
    """Rows of frames, of (spec, words, clip ``(3, T, H, W)``)."""
    _, frames, height, width = rows[0][2].shape
    sheet = Image.new("RGB", (_WORDS + frames * (width + _GAP), len(rows) * (height + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = ImageFont.truetype(str(file), _TEXT_SIZE)
    for row, (spec, words, clip) in enumerate(rows):
        top = row * (height + _GAP)
        text = "\n".join([spec, *textwrap.wrap(words, _COLUMNS)] if words != spec else [spec])
        draw.multiline_text((4, top + height // 2), text, fill="black", font=font, anchor="lm")
        for number, frame in enumerate(clip.unbind(1)):
            image = Image.fromarray(frame.permute(1, 2, 0).to(torch.uint8).contiguous().numpy())
            sheet.paste(image, (_WORDS + number * (width + _GAP), top))
    return sheet


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pvbias.plugins.contrasted_videos.sheets",
        description="Draw what clips show that contradict appearance: of the first test video, a row for each kind.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="picture to write, such as sheet.png")
    parser.add_argument("--modulations", nargs="+", default=SPECS, metavar="SPEC", help="kinds of clips (all)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="configuration keys (made-up videos)"
    )
    options = parser.parse_args(argv)
    try:
        sheet = draw_sheet(options.keys, options.modulations)
    except PvbiasError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    options.file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.file)
    print(f"{options.file} ({options.file.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
