"""Lists of known data sets from their official files; checking and showing of any list."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tabulate import tabulate

from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.preparing import prepare_lists

EXAMPLES = """examples:
  # lists/ucf101/train1.csv, test1.csv, ..., class_names.txt in official order, and what is missing
  pvbias data prepare ucf101 --videos /data/UCF101 --annotations /data/ucfTrainTestlist --out lists/ucf101
  pvbias run --cfg my.yaml DATA.PATH_TO_DATA_DIR lists DATA.TRAIN_SPLIT ucf101/train1 DATA.TEST_SPLIT ucf101/test1
  # what is known: names, splits, published counts and where they are from, official files
  pvbias data list
  pvbias data list jester"""


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


def _add_list(commands: argparse._SubParsersAction) -> None:
    known = commands.add_parser("list", help="name the data sets that are known", description="Name known data sets.")
    known.add_argument("name", nargs="?", help="one of them: its official files, counts and their sources")
    known.set_defaults(program=_list)


def _list(args: argparse.Namespace) -> int:
    if args.name is None:
        rows = [(each.name, each.title, each.classes, " ".join(each.splits)) for each in DATA_SETS]
        print(tabulate(rows, headers=("name", "data set", "classes", "splits")))
        return 0
    data_set = DATA_SETS.get(args.name)
    counts = [
        (each.split, f"{each.count:,}", "" if each.exact else "about", "yes" if each.read else "no", each.source)
        for each in data_set.published
    ]
    print(f"{data_set.title}: {data_set.classes} classes, {data_set.url}")
    print(f"files:  {data_set.files}")
    print(f"videos: {data_set.on_disk}\n")
    print(tabulate(counts, headers=("split", "published", "", "file was read", "source"), disable_numparse=True))
    return 0
