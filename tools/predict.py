"""Predict the classes of single videos, and what shuffling, reversing and freezing their frames changes."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from pvbias.clips import ORIGINAL
from pvbias.errors import DataError
from pvbias.lazy import many_imports
from pvbias.storage.addresses import absolute, on_a_disk

if TYPE_CHECKING:
    from pvbias.evaluation.results import Predictions

EXAMPLES = """examples:
  pvbias predict swim.mp4 --model x3d_s --weights zoo://pytorchvideo/x3d_s/kinetics400
  # several videos, with a page that shows their frames as the model was given them
  pvbias predict *.mp4 --model slowfast_r50 --weights mine.pyth --class-names classes.txt --out looked_at/
  # for a script
  pvbias predict swim.mp4 --model x3d_s --weights mine.pyth --json | jq -r '.[].variants.original.top[0].class'

Class probabilities are averaged over --clips clips of a video. A divergence, KL(original || changed) of these, is how
far the prediction moves: 0 nats where the change of time changes nothing. The exit code is 3 where a video is bad."""

#: Of the variants, in the order of the columns: what they are called.
_TITLES = {ORIGINAL: "as it is", "shuffle": "frames shuffled", "reverse": "backwards", "freeze_middle": "one frame"}


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    if args.top < 1:
        _parser().error(f"--top {args.top}: give one or more")
    logging.getLogger().setLevel(logging.WARNING)  # of a run on a few videos, its figures say nothing
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    with many_imports():
        from pvbias.config import load_cfg
        from pvbias.engine import launch
        from pvbias.report.results import read_predictions, read_results
        from pvbias.run import run

    with tempfile.TemporaryDirectory(prefix="pvbias_predict_") as scratch:
        out = Path(args.out or Path(scratch) / "run")
        videos = Path(scratch) / "videos.jsonl"
        videos.write_text("".join(json.dumps({"path": absolute(video)}) + "\n" for video in args.videos))
        launch(run, load_cfg(overrides=_overrides(args, videos, out)))
        bad = read_results(out).bad_videos
        found = _top(read_predictions(out), args.top)
    for video in bad:
        print(f"pvbias: {video['name']}: {video['cause']}: {video['detail']}", file=sys.stderr)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n\n".join(map(_table, found)))
        if args.out:
            print(f"\nPage: {out / 'report.html'}")
    return DataError.exit_code if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias predict",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a file, an address, or a folder of frame images")
    parser.add_argument("--model", required=True, help="architecture: a name from `pvbias list models`")
    parser.add_argument("--weights", required=True, help="checkpoint: a path, an https URL or zoo://ZOO/MODEL/WEIGHTS")
    parser.add_argument(
        "--class-names", default="", metavar="FILE", help="one class name a line (default: those of --weights)"
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes of a video (default 5)")
    parser.add_argument("--clips", type=int, default=1, help="clips of a video (default 1, from its middle)")
    parser.add_argument("--out", type=on_a_disk, help="folder for a page with the frames that the model was given")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    return parser


def _overrides(args: argparse.Namespace, videos: Path, out: Path) -> list[str]:
    overrides = {
        "TRAIN.ENABLE": False,
        "MODEL.MODEL_NAME": args.model,
        "TEST.CHECKPOINT_FILE_PATH": args.weights,
        "TEST.NUM_ENSEMBLE_VIEWS": args.clips,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "DATA.TEST_SPLIT": videos,
        "DATA.CLASS_NAMES_FILE": args.class_names,
        "DATA.MAX_BAD_FRACTION": 1.0,
        "DATA_LOADER.NUM_WORKERS": min(len(args.videos), 2),
        "BIAS.EVALUATORS": ["dynamic_score", "sample_clips"],
        "BIAS.MODULATIONS": ["reverse"],
        "PLUGINS": args.plugins,
        "OUTPUT_DIR": out,
    }
    return [text for key, value in overrides.items() for text in (key, str(value))] + args.keys


def _top(found: Predictions, k: int) -> list[dict[str, Any]]:
    """The k most probable classes of each video, by variant, and the divergence from the original."""
    names = found.class_names
    order = sorted(found.variants, key=lambda name: [*_TITLES, name].index(name))
    videos = []
    for row, video in enumerate(found.names):
        with np.errstate(divide="ignore"):  # of a class whose probability is 0 in single precision
            log_p = np.log(found.probabilities[row].astype(np.float64))
        variants = {ORIGINAL: log_p} | {name: found.variants[name][row].astype(np.float64) for name in order}
        found_of = {}
        for variant, log_q in variants.items():
            best = np.argsort(-log_q, kind="stable")[:k].tolist()
            found_of[variant] = {
                "top": [
                    {
                        "label": label,
                        "class": names[label] if names else str(label),
                        "probability": np.exp(log_q[label]),
                    }
                    for label in best
                ],
                "divergence": _divergence(log_p, log_q),
            }
        videos.append({"video": video, "variants": found_of})
    return videos


def _divergence(log_p: np.ndarray, log_q: np.ndarray) -> float:
    """KL(p || q) in nats; a class without any probability under p adds nothing."""
    there = np.isfinite(log_p)
    terms = np.exp(log_p[there]) * (log_p[there] - log_q[there])
    return max(float(terms.sum()), 0.0)  # below 0 by rounding only


def _table(video: dict[str, Any]) -> str:
    variants = video["variants"]
    columns = {
        _TITLES.get(name, name): [f"{100 * each['probability']:5.1f} %  {each['class']}" for each in variant["top"]]
        for name, variant in variants.items()
    }
    divergences = ["", *(f"{variant['divergence']:.3f} nats" for variant in list(variants.values())[1:])]
    rows = [*zip(*columns.values(), strict=True), divergences]
    return f"{video['video']}\n" + tabulate(rows, headers=list(columns), disable_numparse=True)
