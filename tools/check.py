"""Look whether the videos of a list decode, and whether its labels are classes of a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pvbias.config import load_cfg
from pvbias.data.record_list import field_of
from pvbias.data.source import VideoFiles, build_video_files
from pvbias.errors import DataError
from pvbias.hardware import available_cores
from pvbias.plugins.datasets.checking import check_list
from pvbias.storage.addresses import absolute, on_a_disk

from .options import add_list_format

EXAMPLES = """examples:
  # can the first frame of each video be decoded?
  pvbias check val.csv --workers 8
  # and are the labels classes of this model? by which names, or by number?
  pvbias check val.csv --model x3d_s --weights zoo://pytorchvideo/x3d_s/kinetics400

The exit code is 3 where a video is bad, or has a label that is none of the classes."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if bool(args.model) != bool(args.weights):
        parser.error("--model and --weights go together: they say which classes labels are")
    cfg = load_cfg(overrides=_overrides(args))
    num_classes = None
    if args.model:
        from pvbias.config import complete
        from pvbias.data.labels import check_labels
        from pvbias.run.starting_weights import num_classes_of, with_class_names

        cfg = with_class_names(cfg, args.weights)
        cfg = complete(cfg, num_classes=num_classes_of(cfg, args.weights))
        num_classes = cfg.MODEL.NUM_CLASSES
    source = build_video_files(cfg, "test")
    if num_classes is not None:
        check_labels(cfg, source)
        print(_labels(source, num_classes))
    checked = check_list(source, num_classes=num_classes, out=args.out, workers=args.workers)
    print(checked)
    return DataError.exit_code if checked.bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias check",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("list", help="a list in any form, or a folder of videos")
    parser.add_argument("--model", help="architecture: a name from `pvbias list models`")
    parser.add_argument("--weights", help="checkpoint: a path, an https URL or zoo://ZOO/MODEL/WEIGHTS")
    parser.add_argument("--class-names", default="", metavar="FILE", help="as of `pvbias measure`")
    parser.add_argument("--labels-start-at", type=int, choices=(0, 1), help="number of the first class in the list")
    parser.add_argument("--out", type=on_a_disk, help="folder for bad_videos.jsonl (default: they are printed only)")
    parser.add_argument("--path-prefix", default="", help="folder that relative paths in the list start from")
    add_list_format(parser)
    parser.add_argument(
        "--workers", type=int, default=available_cores(), help="processes (default: one a core, here %(default)s)"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    return parser


def _overrides(args: argparse.Namespace) -> list[str]:
    overrides = {
        "TRAIN.ENABLE": False,
        "MODEL.MODEL_NAME": args.model or "",
        "DATA.TEST_SPLIT": absolute(args.list),
        "DATA.TRAIN_SPLIT": "",
        "DATA.PATH_PREFIX": args.path_prefix,
        "DATA.LIST_FORMAT": args.list_format,
        "DATA.CLASS_NAMES_FILE": args.class_names,
    }
    if args.labels_start_at is not None:
        overrides["DATA.LABELS_START_AT"] = args.labels_start_at
    return [text for key, value in overrides.items() for text in (key, str(value))] + args.keys


def _labels(source: VideoFiles, num_classes: int) -> str:
    """Describe in a line which classes of a model the labels of a list are."""
    labels = {label for label in field_of(source.records, "label") if label is not None}
    if not labels:
        return f"{source.description}: no labels"
    found = sorted(label for label in labels if 0 <= label < num_classes)  # the others are bad
    names = source.class_names
    shown = ", ".join(f"{label} {names[label]}" if label < len(names) else str(label) for label in found[:3])
    how = "by number: nothing says what the numbers are called"
    if names:
        how = "by name" if source.labels_by_name else "by number"
    more = ", ..." if len(found) > 3 else ""
    return f"{source.description}: {len(found)} of the model's {num_classes} classes ({shown}{more}), {how}"
