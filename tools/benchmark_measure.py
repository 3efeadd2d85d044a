"""Benchmark of measuring modulations: in one pass, in separate passes, and the forwards alone."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from tabulate import tabulate
from torch import Tensor

from pvbias.clips import modulation, view_seeds
from pvbias.config import complete, load_cfg
from pvbias.data import BadVideoLog, TestVideo, VideoSource, build_source, build_test_loader
from pvbias.evaluation import Evaluator, Result, VideoViews, run_evaluators
from pvbias.files import write_atomically
from pvbias.machine import prepare_process
from pvbias.models import Outputs, build_recognizer
from pvbias.needs import Needs
from pvbias.runtime import MEMORY_FORMATS, Settings, choose_settings
from pvbias.storage.addresses import on_a_disk
from pvbias.tools.timed_steps import PlainNetwork, median_ratio, synchronize, take_turns
from pvbias.versions import versions

ONE_PASS, FORWARDS = "one pass, 4 variants", "forwards alone"

VARIANTS = ("original", "shuffle", "reverse", "freeze_middle")

EXAMPLES = """examples:
  # decoding dominates: long videos, a small model on small clips
  pvbias benchmark measure --data videos/ --model x3d_xs --crop-size 64
  # the model dominates
  pvbias benchmark measure --data videos/ --model slow_r50 --crop-size 112 --max-videos 8"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark measure",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="annotation file or folder of videos")
    parser.add_argument("--model", default="x3d_xs", help="architecture (random weights)")
    parser.add_argument("--crop-size", type=int, default=64, help="side of the crop, pixels (default 64)")
    parser.add_argument("--clips", type=int, default=1, help="clips of a video (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="decoding processes (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each of all three ways (default 3)")
    parser.add_argument("--max-videos", type=int, default=10**9, help="only the first so many")
    parser.add_argument("--against", choices=["plain"], help="forwards of the network in plain PyTorch beside them")
    parser.add_argument("--json", type=on_a_disk, metavar="FILE", help="write all that was measured")
    parser.add_argument("--set", nargs="+", default=[], metavar=("KEY", "VALUE"), help="any keys of the configuration")
    args = parser.parse_args(argv)
    prepare_process()
    with tempfile.TemporaryDirectory() as folder:
        cfg = _configure(args, folder)
        found = benchmark(cfg, args.repeats, args.max_videos, with_plain=args.against == "plain")
    print(_table(cfg, found))
    if args.json:
        write_atomically(Path(args.json), json.dumps({"versions": versions(), **found}, indent=1).encode())
    return 0


def _configure(args: argparse.Namespace, folder: str) -> CfgNode:
    keys = {
        "MODEL.MODEL_NAME": args.model,
        "DATA.TEST_SPLIT": args.data,
        "DATA.TRAIN_CROP_SIZE": args.crop_size,
        "DATA.TEST_CROP_SIZE": args.crop_size,
        "TEST.NUM_ENSEMBLE_VIEWS": args.clips,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "DATA_LOADER.NUM_WORKERS": args.workers,
        "DATA.MAX_BAD_FRACTION": 1.0,
        "OUTPUT_DIR": folder,
    }
    overrides = [*(str(part) for pair in keys.items() for part in pair), *args.set]
    return complete(load_cfg(overrides=overrides), num_classes=400)


class _Variants(Evaluator):
    """Asks for variants and keeps nothing."""

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Do nothing."""

    def evaluate(self) -> Result:
        """Report nothing."""
        return Result()


class _First:
    """The first videos of a source."""

    def __init__(self, source: VideoSource, count: int) -> None:
        self.records = source.records[:count]
        self.class_names = source.class_names
        self.description = source.description
        self.open = source.open


def benchmark(cfg: CfgNode, repeats: int, max_videos: int, *, with_plain: bool = False) -> dict[str, Any]:
    """Seconds of each way in each round, and what was measured."""
    source = _First(build_source(cfg, "test"), max_videos)
    torch.manual_seed(0)
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=False)
    settings.place(recognizer)

    def measure(*variants: str) -> None:
        evaluator = _Variants(cfg, recognizer, ())
        evaluator.needs = Needs(modulations=variants)
        log = BadVideoLog(cfg.OUTPUT_DIR, max_fraction=1.0)
        run_evaluators(cfg, recognizer, source, {"variants": evaluator}, settings=settings, bad_log=log, progress=False)

    def one_pass() -> float:
        return _timed(lambda: measure(*VARIANTS))

    def four_passes() -> float:
        return sum(_timed(lambda variant=variant: measure(variant)) for variant in VARIANTS)  # type: ignore[misc]

    loader = build_test_loader(cfg, source, rank=0, world_size=1)
    videos = [video for video in loader if isinstance(video, TestVideo)]
    ways: dict[str, Callable[[], float]] = {
        ONE_PASS: one_pass,
        "4 separate passes": four_passes,
        FORWARDS: lambda: _forwards_alone(cfg, settings, videos, settings.clips, recognizer.eval()),
    }
    for memory_format in MEMORY_FORMATS if with_plain else ():
        plain = PlainNetwork(cfg, recognizer, settings, memory_format)
        plain.module.eval()
        ways[f"plain forwards, {memory_format}"] = partial(
            _forwards_alone, cfg, plain, videos, plain.clips, plain.logits
        )
    for way in ways.values():
        way()  # warm up
    return {
        "model": cfg.MODEL.MODEL_NAME,
        "videos": len(videos),
        "settings": settings.describe(),
        "seconds": take_turns(ways, repeats),
    }


def _table(cfg: CfgNode, found: Mapping[str, Any]) -> str:
    base = found["seconds"][ONE_PASS]
    rows = [
        (name, statistics.median(times), min(times), max(times), median_ratio(times, base))
        for name, times in found["seconds"].items()
    ]
    title = (
        f"{cfg.MODEL.MODEL_NAME}, {cfg.DATA.NUM_FRAMES} frames, crop {cfg.DATA.TEST_CROP_SIZE}, "
        f"{found['videos']} videos x {cfg.TEST.NUM_ENSEMBLE_VIEWS} clips, {found['settings']['precision']}, "
        f"{cfg.DATA_LOADER.NUM_WORKERS} decoding processes, {torch.get_num_threads()} torch threads, {len(base)} rounds"
    )
    headers = ("", "median s", "min s", "max s", "ratio to one pass")
    return title + "\n" + tabulate(rows, headers=headers, floatfmt=".2f")


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@torch.inference_mode()
def _forwards_alone(
    cfg: CfgNode,
    network: Settings | PlainNetwork,
    videos: Sequence[TestVideo],
    to_device: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
) -> float:
    """Seconds in a model for all variants of all views; decoding, modulating and moving are not counted.

    Args:
        network: whose ``autocast`` it runs in.
        to_device: makes float clips there of uint8 ones.
        logits: of float clips.
    """
    views = torch.cat([video.clips[:] for video in videos])
    seeds = [s for v in videos for s in view_seeds(cfg.RNG_SEED, v.record.name, len(v.clips))]
    seconds = 0.0
    for start in range(0, len(views), cfg.TEST.BATCH_SIZE):
        part = slice(start, start + cfg.TEST.BATCH_SIZE)
        for variant in VARIANTS:
            clips = to_device(modulation(variant)(views[part], seeds[part]))
            synchronize(clips.device)
            with network.autocast():
                seconds += _timed(lambda clips=clips: logits(clips).float().cpu())  # type: ignore[misc]
    return seconds
