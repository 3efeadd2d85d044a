"""What the number format of the forward passes does to the scores: models trained on made-up videos, measured in each.

python projects/scaling/precision.py --folder precision/

The videos are those of the demo whose label is how a shape moves. Each model is trained on them in fp32, from random
weights, and then measured in each format. tf32 is for GPUs that have it; the first format is what the others are
compared with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from pvbias.config import load_cfg
from pvbias.engine.checkpoint import newest_checkpoint
from pvbias.files import write_atomically
from pvbias.machine import prepare_process
from pvbias.run import run
from pvbias.storage.addresses import on_a_disk
from pvbias.tools.demo_videos import write_demo_videos
from pvbias.tools.main import guard

BASE = Path(__file__).parents[1] / "quickstart" / "motion.yaml"

#: (evaluator, name, variant) of the figures that are compared, at the level of videos.
FIGURES = (
    ("dynamic_score", "dynamic_score", "freeze_middle"),
    ("dynamic_score", "dynamic_score", "shuffle"),
    ("modulated_accuracy", "log_ratio", "shuffle"),
    ("modulated_accuracy", "top1", "original"),
)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--folder", required=True, type=on_a_disk, help="for videos, runs and scores.json; what is there is removed")
    add("--models", nargs="+", default=["r3d_18", "slow_r50", "x3d_s"], help="architectures")
    add("--precisions", nargs="+", default=["fp32", "tf32"], help="formats (default: fp32 tf32)")
    add("--epochs", type=float, default=8.0, help="of training (default 8)")
    add("--num-train", type=int, default=256, help="training videos, a multiple of 16 (default 256)")
    add("--num-test", type=int, default=96, help="test videos, likewise (default 96)")
    add("--crop-size", type=int, default=64, help="pixels (default 64)")
    add("--workers", type=int, default=2, help="processes that make and decode videos (default 2)")
    args = parser.parse_args(argv)
    started, folder = time.perf_counter(), Path(args.folder)
    shutil.rmtree(folder, ignore_errors=True)
    prepare_process()
    videos = write_demo_videos(
        folder / "videos", num_train=args.num_train, num_test=args.num_test, workers=max(1, args.workers)
    )
    keys = {
        "DATA.PATH_TO_DATA_DIR": videos["motion"],
        "DATA.TRAIN_JITTER_SCALES": [args.crop_size, args.crop_size],
        "DATA.TRAIN_CROP_SIZE": args.crop_size,
        "DATA.TEST_SHORT_SIDE": args.crop_size,
        "DATA.TEST_CROP_SIZE": args.crop_size,
        "DATA_LOADER.NUM_WORKERS": args.workers,
        "SOLVER.MAX_EPOCH": args.epochs,
        "TEST.ENABLE": False,
        "BIAS.EVALUATORS": list(dict.fromkeys(evaluator for evaluator, *_ in FIGURES)),
    }
    common = [str(part) for pair in keys.items() for part in pair]
    scores: dict[str, dict[str, dict[str, float | None]]] = {}
    for model in args.models:
        own = [*common, "MODEL.MODEL_NAME", model]
        trained = folder / model / "training"
        run(load_cfg(BASE, [*own, "BIAS.ENABLE", "False", "PRECISION", "fp32", "OUTPUT_DIR", str(trained)]))
        weights = ["TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", str(newest_checkpoint(trained))]
        scores[model] = {}
        for precision in args.precisions:
            out = folder / model / precision
            run(load_cfg(BASE, [*own, *weights, "PRECISION", precision, "OUTPUT_DIR", str(out)]))
            scores[model][precision] = read_scores(out)
        write_atomically(folder / "scores.json", json.dumps(scores, indent=1).encode())
        print(f"{model}: {time.perf_counter() - started:.0f} s", flush=True)
    print(table(scores))
    return 0


def read_scores(folder: Path) -> dict[str, float | None]:
    """The figures of a run, by ``name, variant``; None: it is not defined."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))["results"]
    found = {
        (evaluator, figure["name"], figure["variant"]): figure["value"]
        for evaluator, result in results.items()
        for figure in result["figures"]
        if figure["level"] == "video"
    }
    return {f"{name}, {variant}": found[evaluator, name, variant] for evaluator, name, variant in FIGURES}


def table(scores: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """A line for each figure of each model: in each format, and how far the others are from the first."""
    rows = []
    for model, by_precision in scores.items():
        first, *others = by_precision
        for name, value in by_precision[first].items():
            row = [model, name, value]
            for other in others:
                changed = by_precision[other][name]
                row += [changed, None if value is None or changed is None else changed - value]
            rows.append(row)
    first, *others = next(iter(scores.values()))
    headers = ["model", "figure", first, *(text for other in others for text in (other, "difference"))]
    return tabulate(rows, headers=headers, floatfmt=".6f")


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
