"""Measure how much a model leans on static appearance, on a folder or list of videos. No configuration file needed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pvbias.lazy import many_imports
from pvbias.storage.addresses import absolute

from .options import add_list_format

EXAMPLES = """examples:
  # a zoo checkpoint on labelled videos (lines of `path label`)
  pvbias measure --model x3d_s --weights zoo://pytorchvideo/x3d_s/kinetics400 --data val.csv --out runs/x3d_s
  # your own checkpoint, on a folder of videos without labels: dynamic score, agreement, kernel measures
  pvbias measure --model slowfast_r50 --weights mine.pyth --data videos/ --out runs/mine
  # clips of one second whatever the frame count, so that scores compare between models
  pvbias measure --model slow_r50 --weights slow.pyth --data val.csv --out runs/slow --clip-seconds 1
  # the distilled dynamic score and dataset bias, which train a spatial student: 30 epochs of a ResNet-18 from ImageNet
  pvbias measure --model slow_r50 --weights slow.pyth --data val.csv --train-data train.csv --out runs/slow \
      --metrics dynamic_score dynamic_score_distill dataset_bias \
      --set STUDENT.NAME resnet18 STUDENT.CHECKPOINT_FILE_PATH imagenet \
      STUDENT.SOLVER.BASE_LR 0.01 STUDENT.SOLVER.MAX_EPOCH 30.0

--data and --train-data take a list (`path label` lines, a table with a heading, JSON) or a folder (one subfolder a
class, or videos alone).
Results: OUT/report.html, OUT/results.json, OUT/tables/*.csv, OUT/bad_videos.jsonl. Those of the same model and weights
that are there already are removed; those of another model are refused.
Interrupted (Ctrl-C, SIGTERM, a kill), the same command goes on with the videos that are missing."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    with many_imports():
        from pvbias.config import load_cfg
        from pvbias.engine import launch
        from pvbias.run import run

        cfg = load_cfg(overrides=_overrides(args))
    launch(run, cfg)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias measure",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="architecture: a name from `pvbias list models`")
    parser.add_argument("--weights", required=True, help="checkpoint: a path, an https URL or zoo://ZOO/MODEL/WEIGHTS")
    parser.add_argument("--data", required=True, help="annotation file or folder of videos")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--train-data",
        metavar="DATA",
        help="training videos, as --data: for metrics that train something (dynamic_score_distill, dataset_bias)",
    )
    parser.add_argument("--path-prefix", default="", help="folder that relative paths in the annotations start from")
    add_list_format(parser)
    parser.add_argument(
        "--labels-start-at",
        type=int,
        choices=(0, 1),
        help="number of the first class in the lists, where it is in doubt",
    )
    parser.add_argument(
        "--class-names",
        default="",
        metavar="FILE",
        help="one class name a line, in label order, or weights that know theirs (default: those of --weights)",
    )
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="evaluators (default: all built-in ones that train nothing)"
    )
    parser.add_argument(
        "--clips", type=int, default=1, help="clips of a video, where the model's own test has them (default 1)"
    )
    parser.add_argument("--crops", type=int, default=1, choices=(1, 3), help="crops of a clip (default 1)")
    parser.add_argument(
        "--clip-seconds", type=float, help="an even stride over this length instead of the model's own sampling"
    )
    parser.add_argument("--frames", type=int, help="frames in a clip (default: the model's)")
    parser.add_argument(
        "--crop-size",
        type=int,
        help="side of the crop that is measured, pixels (default: the model's test crop); the short side of frames "
        "follows, so that the same part is seen: 182 of 182 pixels become 96 of 96, 224 of 256 become 96 of 110",
    )
    parser.add_argument("--batch-size", type=int, help="views in a forward pass")
    parser.add_argument("--workers", type=int, help="decoding processes (0: a decoder that crashes ends the command)")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    return parser


def _overrides(args: argparse.Namespace) -> list[str]:
    overrides = {
        "TRAIN.ENABLE": False,
        "MODEL.MODEL_NAME": args.model,
        "TEST.CHECKPOINT_FILE_PATH": args.weights,
        "DATA.TEST_SPLIT": absolute(args.data),
        "DATA.PATH_PREFIX": args.path_prefix,
        "DATA.CLASS_NAMES_FILE": args.class_names,
        "DATA.LIST_FORMAT": args.list_format,
        "DATA.TRAIN_SPLIT": absolute(args.train_data) if args.train_data else "",
        "OUTPUT_DIR": args.out,
        "TEST.NUM_ENSEMBLE_VIEWS": args.clips,
        "TEST.NUM_SPATIAL_CROPS": args.crops,
        "PLUGINS": args.plugins,
    }
    optional = {
        "DATA.LABELS_START_AT": args.labels_start_at,
        "BIAS.EVALUATORS": args.metrics,
        "DATA.CLIP_DURATION": args.clip_seconds,
        "DATA.TEMPORAL_SAMPLING": "duration" if args.clip_seconds is not None else None,
        "DATA.NUM_FRAMES": args.frames,
        "DATA.TRAIN_CROP_SIZE": args.crop_size,
        "DATA.TEST_CROP_SIZE": args.crop_size,
        "TEST.BATCH_SIZE": args.batch_size,
        "DATA_LOADER.NUM_WORKERS": args.workers,
    }
    overrides |= {key: value for key, value in optional.items() if value is not None}
    return [text for key, value in overrides.items() for text in (key, str(value))] + args.keys
