"""How long a cross-entropy training step takes, in each memory format and precision that this machine has."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from fvcore.common.config import CfgNode
from tabulate import tabulate

from pvbias.config import complete, load_cfg
from pvbias.engine import CrossEntropy, Step
from pvbias.errors import ConfigError
from pvbias.machine import choose_settings, prepare_process
from pvbias.models import build_recognizer

EXAMPLE = """example:
  pvbias benchmark train --models x3d_xs slow_r50 --crop-size 112 --batch-size 4"""


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark train",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", default=["x3d_xs"], help="architectures")
    parser.add_argument("--crop-size", type=int, default=112, help="side of the crop, pixels (default 112)")
    parser.add_argument("--batch-size", type=int, default=4, help="clips in a step (default 4)")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each kind (default 5)")
    args = parser.parse_args(argv)
    prepare_process()
    rows = [row for model in args.models for row in _time_model(model, args)]
    print(tabulate(rows, headers=("model", "precision", "memory format", "median s", "ratio to fp32 contiguous")))
    return 0


def _time_model(model: str, args: argparse.Namespace) -> list[tuple]:
    rows: list[tuple] = []
    for precision in ("fp32", "bf16", "fp16"):
        for memory_format in ("contiguous", "channels_last_3d"):
            keys = {
                "MODEL.MODEL_NAME": model,
                "DATA.TRAIN_CROP_SIZE": args.crop_size,
                "PRECISION": precision,
                "MEMORY_FORMAT": memory_format,
            }
            overrides = [str(part) for pair in keys.items() for part in pair]
            cfg = complete(load_cfg(overrides=overrides), num_classes=400)
            try:
                seconds = _seconds_per_step(cfg, args.batch_size, args.steps)
            except ConfigError as error:  # fp16 without a GPU
                print(f"left out: {error}")
                break
            base = rows[0][3] if rows else seconds
            rows.append((model, precision, memory_format, seconds, seconds / base))
    return rows


def _seconds_per_step(cfg: CfgNode, batch_size: int, steps: int) -> float:
    """Median over ``steps``, after one to warm up."""
    torch.manual_seed(0)
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer).train()
    (phase,) = CrossEntropy(cfg, recognizer).phases()
    optimizer = torch.optim.SGD(recognizer.parameters(), lr=1e-3)
    crop, frames = cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.NUM_FRAMES
    clips = torch.randint(256, (batch_size, frames, crop, crop, 3), dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    labels = torch.zeros(batch_size, dtype=torch.long, device=settings.device)
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        with settings.autocast():
            step = Step(clips=settings.clips(clips), labels=labels, recognizer=recognizer, epoch=0.0)
            loss = phase.loss(step)["loss"]
        loss.backward()
        optimizer.step()
        if settings.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
