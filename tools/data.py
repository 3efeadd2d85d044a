"""Lists of known data sets from their official files; showing of any list, its copies and its labels."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from pvbias.config.lists import find_list
from pvbias.data.annotations import read_annotation
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.mapping import find_map, known_maps, map_list
from pvbias.plugins.datasets.preparing import prepare_lists
from pvbias.storage import expand
from pvbias.storage.addresses import absolute, on_a_disk

EXAMPLES = """examples:
  # lists/ucf101/train1.csv, test1.csv, ..., class_names.txt in official order, and what is missing
  pvbias data prepare ucf101 --videos /data/UCF101 --annotations /data/ucfTrainTestlist --out lists/ucf101
  pvbias run --cfg my.yaml DATA.PATH_TO_DATA_DIR lists DATA.TRAIN_SPLIT ucf101/train1 DATA.TEST_SPLIT ucf101/test1
  # the first clips that a training with this configuration sees
  pvbias data show lists/ucf101/train1.csv --out clips.html --cfg my.yaml
  # copies of training videos in a test split, re-encoded, trimmed or mirrored; labels that are likely to be wrong
  pvbias features --model x3d_s --weights x3d_s.pyth --data train.csv --out F/train --modulations original mirror
  pvbias features --model x3d_s --weights x3d_s.pyth --data test.csv --out F/test
  pvbias data duplicates F/train F/test
  pvbias data labels F/train
  # UCF101's test videos of the 12 classes that HMDB51 has, too, with HMDB51's names
  pvbias data map lists/ucf101/test1.csv --map ucf101_hmdb51 --out lists/ucf_hmdb/ucf101_test1.csv
  # what is known: names, splits, published counts and where they are from, official files
  pvbias data list
  pvbias data list jester

The exit code is 3 where official files are refused. `pvbias check` looks whether the videos of a list decode."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    return args.program(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias data",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_prepare(commands)
    _add_show(commands)
    _add_duplicates(commands)
    _add_labels(commands)
    _add_map(commands)
    _add_list(commands)
    return parser


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    prepare = commands.add_parser(
        "prepare",
        help="write the lists of a known data set",
        description="Write the lists of a data set from its official files and its videos on disk.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("name", help="of the data set: `pvbias data list` names them")
    prepare.add_argument(
        "--videos", required=True, help="folder of its videos, or folders of frames, however they lie below it"
    )
    prepare.add_argument("--annotations", help="folder of its official files, as distributed")
    prepare.add_argument("--out", required=True, help="folder for the lists")
    prepare.add_argument("--splits", nargs="+", default=[], metavar="SPLIT", help="default: all whose files are there")
    prepare.add_argument(
        "--other-counts", action="store_true", help="files may list more or fewer videos than are published"
    )
    prepare.set_defaults(program=_prepare)


def _prepare(args: argparse.Namespace) -> int:
    print(
        prepare_lists(
            DATA_SETS.get(args.name),
            args.videos,
            args.annotations,
            args.out,
            splits=args.splits,
            other_counts=args.other_counts,
        )
    )
    return 0


def _add_show(commands: argparse._SubParsersAction) -> None:
    show = commands.add_parser(
        "show",
        help="write a page of training clips of a list, after augmentation",
        description="Write a page of the first training clips of a list, after augmentation, with their labels.",
    )
    show.add_argument("list", help="a list in any form, or a folder of videos")
    show.add_argument("--out", required=True, type=on_a_disk, metavar="PAGE.html", help="the page")
    show.add_argument("--clips", type=int, default=12, help="how many (default %(default)s)")
    show.add_argument("--cfg", help="configuration of the training (default: none but --model and --set)")
    show.add_argument("--model", help="whose clips are shown (default: that of --cfg, else x3d_s)")
    show.add_argument("--path-prefix", default="", help="folder that relative paths in the list start from")
    show.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    show.set_defaults(program=_show, parser=show)


def _show(args: argparse.Namespace) -> int:
    if args.clips < 1:
        args.parser.error(f"--clips {args.clips}: give one or more")
    from pvbias.config import load_cfg
    from pvbias.plugins.datasets.showing import write_clips  # with torch

    model = args.model or ("" if args.cfg else "x3d_s")
    own = {
        "DATA.TRAIN_SPLIT": absolute(args.list),
        "DATA.PATH_PREFIX": args.path_prefix,
        "DATA_LOADER.NUM_WORKERS": "0",
        **({"MODEL.MODEL_NAME": model} if model else {}),
    }
    overrides = [text for item in own.items() for text in item]
    print(write_clips(load_cfg(args.cfg, [*overrides, *args.keys]), Path(args.out), count=args.clips))
    return 0


def _add_duplicates(commands: argparse._SubParsersAction) -> None:
    duplicates = commands.add_parser(
        "duplicates",
        help="find near-duplicates across splits, or within a list, from features",
        description="Find videos that are much nearer to one of a reference list than neighbours are to each other, in "
        "features of `pvbias features`.",
    )
    duplicates.add_argument("reference", help="features of the videos that may have been copied: the training videos")
    duplicates.add_argument(
        "features", nargs="?", help="features of those that may be copies: the test videos (default: the reference's)"
    )
    duplicates.add_argument(
        "--rate", type=float, default=1e-3, help="of false alarms, for each video without a copy (default %(default)g)"
    )
    duplicates.add_argument("--layer", default="embedding", help="whose features (default %(default)s)")
    _add_grouping(duplicates, "are not compared with each other")
    duplicates.set_defaults(program=_duplicates)


def _duplicates(args: argparse.Namespace) -> int:
    from pvbias.features import find_duplicates, read_features  # with torch

    tested = None if args.features is None else read_features(args.features)
    found = find_duplicates(
        read_features(args.reference), tested, layer=args.layer, rate=args.rate, group_by=args.group_by
    )
    rows = [(each.video, each.other, each.modulation, each.distance, f"{each.p_value:.2g}") for each in found.pairs]
    if rows:
        print(
            tabulate(rows, headers=("video", "near-duplicate of", "on clips", "distance", "p"), floatfmt=".3f") + "\n"
        )
    print(found)
    return 0


def _add_labels(commands: argparse._SubParsersAction) -> None:
    labels = commands.add_parser(
        "labels",
        help="find labels that are likely to be wrong, from features",
        description="Find labels that classifiers of the other videos' features do not believe, and measure how often "
        "such a search is right by changing some labels.",
    )
    labels.add_argument("features", help="of `pvbias features`, of videos with one label each")
    labels.add_argument("--layer", default="embedding", help="whose features (default %(default)s)")
    labels.add_argument("--seed", type=int, default=0, help="of folds and changed labels (default %(default)s)")
    _add_grouping(labels, "are judged by classifiers of other groups")
    labels.set_defaults(program=_labels)


def _labels(args: argparse.Namespace) -> int:
    from pvbias.features import find_label_noise, read_features  # with torch

    found = find_label_noise(read_features(args.features), layer=args.layer, group_by=args.group_by, seed=args.seed)
    rows = [(each.video, each.label, each.probability, each.other, each.of_other) for each in found.suspects]
    if rows:
        print(tabulate(rows, headers=("video", "label", "p", "looks like", "p"), floatfmt=".2f") + "\n")
    print(found)
    return 0


def _add_grouping(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--group-by", default="", metavar="ATTRIBUTE", help=f"videos that have the same value (one source, say) {what}"
    )


def _add_map(commands: argparse._SubParsersAction) -> None:
    mapped = commands.add_parser(
        "map",
        help="write the videos of a list that have a class which another data set has, too",
        description="Write the videos of a list that have a shared class of two data sets, with that class.",
    )
    mapped.add_argument("list", help="a list whose labels have names")
    mapped.add_argument(
        "--map", required=True, help=f"class map: {', '.join(known_maps())}, or a CSV of `class,class` lines"
    )
    mapped.add_argument("--out", required=True, type=on_a_disk, metavar="LIST.csv", help="the new list")
    mapped.set_defaults(program=_map)


def _map(args: argparse.Namespace) -> int:
    print(map_list(read_annotation(find_list(expand(args.list))), find_map(args.map), args.out))
    return 0


def _add_list(commands: argparse._SubParsersAction) -> None:
    known = commands.add_parser(
        "list", help="name the data sets and class maps that are known", description="Name known data sets."
    )
    known.add_argument("name", nargs="?", help="one of them: its official files, counts and their sources")
    known.set_defaults(program=_list)


def _list(args: argparse.Namespace) -> int:
    if args.name is None:
        rows = [(each.name, each.title, each.classes, " ".join(each.splits)) for each in DATA_SETS]
        print(tabulate(rows, headers=("name", "data set", "classes", "splits")))
        maps = [(name, len(found.classes), found.path) for name in known_maps() for found in [find_map(name)]]
        print("\n" + tabulate(maps, headers=("class map", "classes", "file")))
        return 0
    data_set = DATA_SETS.get(args.name)
    counts = [
        (
            each.split,
            f"{each.count:,}",
            "" if each.exact else "about",
            each.file,
            "yes" if each.read else "",
            each.source,
        )
        for each in data_set.published
    ]
    print(f"{data_set.title}: {data_set.classes} classes, {data_set.url}")
    print(f"files:  {data_set.files}")
    print(f"videos: {data_set.on_disk}\n")
    print(tabulate(counts, headers=("split", "published", "", "of", "was read", "source"), disable_numparse=True))
    return 0
