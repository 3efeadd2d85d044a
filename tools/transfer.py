"""Judge features of frozen networks on other data sets: probes, few-shot episodes, the arrow of time."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pvbias.storage.addresses import on_a_disk

EXAMPLES = """examples:
  pvbias features runs/mine --data lists/train.csv --out features/train     # once; likewise features/test
  pvbias transfer probe features/train features/test                        # linear, L-BFGS, L2 penalty chosen
  pvbias transfer probe features/train features/test --probe sgd --seeds 0 1 2 --set epochs=50 lr=0.01
  pvbias transfer probe features/train features/test --modulations original shuffle reverse 'freeze(frame=first)'
  pvbias transfer arrow-of-time features/train features/test
  pvbias transfer few-shot features/test --ways 5 --shots 1 5 --episodes 600

With --out, the results are written as those of a run (results.json, tables/*.csv), which `pvbias compare` puts side by
side, with the intervals of differences video by video or episode by episode. More: plugins/transfer/README.md."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    from tabulate import tabulate

    from pvbias.features import read_features
    from pvbias.plugins.transfer.protocols import PROTOCOLS, make
    from pvbias.plugins.transfer.records import write_record
    from pvbias.report.words import interval, number

    settings = {key: value for key, value in vars(args).items() if key not in _NOT_SETTINGS and value is not None}
    if args.set:
        settings["settings"] = dict(map(_setting, args.set))
    protocol = make(PROTOCOLS, args.protocol, settings, "protocol")
    train = read_features(args.train) if args.train else None
    test = read_features(args.test)
    result = protocol.evaluate(train, test)
    rows = [
        (each.name, each.variant, number(each.value, each.unit), interval(each.interval, each.unit), each.note)
        for each in result.figures
    ]
    print(tabulate(rows, headers=["%", "clips", "value", "95 % interval", ""], disable_numparse=True))
    if args.out:
        write_record(
            Path(args.out),
            result,
            train,
            test,
            name=args.name or Path(args.out).name,
            config=yaml.safe_dump({args.protocol: settings}),
            command=shlex.join(["pvbias", "transfer", *argv]),
        )
        print(f"\n{args.out}/results.json")
    return 0


#: Options that are not settings of the protocol.
_NOT_SETTINGS = {"protocol", "train", "test", "out", "name", "set"}


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias transfer",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="PROTOCOL")
    probe = commands.add_parser("probe", help="accuracy of a classifier of frozen features")
    probe.set_defaults(protocol="probe")
    probe.add_argument("train", metavar="TRAIN", help="folder of features (pvbias features) to fit the classifier to")
    probe.add_argument("test", metavar="TEST", help="folder of features to test it on")
    _add_probe(probe)
    probe.add_argument("--modulations", nargs="+", metavar="M", help="of the clips, each with a probe of its own")
    arrow = commands.add_parser("arrow-of-time", help="how well a probe tells clips from their reversed ones")
    arrow.set_defaults(protocol="arrow_of_time")
    arrow.add_argument("train", metavar="TRAIN", help="folder of features of original and reversed clips")
    arrow.add_argument("test", metavar="TEST", help="folder of features to test the probe on")
    _add_probe(arrow)
    few = commands.add_parser("few-shot", help="mean accuracy over N-way K-shot episodes")
    few.set_defaults(protocol="few_shot", train=None, set=[])
    few.add_argument("test", metavar="F", help="folder of features")
    few.add_argument("--classifier", metavar="NAME", help="baseline (Chen et al.), logistic, centroid")
    few.add_argument("--ways", type=int, metavar="N", help="classes of an episode (5)")
    few.add_argument("--shots", type=int, nargs="+", metavar="K", help="videos with a label a class (1 5)")
    few.add_argument("--queries", type=int, metavar="Q", help="videos to classify a class (15)")
    few.add_argument("--episodes", type=int, metavar="E", help="how many (600)")
    few.add_argument("--modulation", metavar="M", help="of the clips (original)")
    few.add_argument("--seed", type=int, help="of the episodes (0)")
    for each in (probe, arrow, few):
        each.add_argument("--layer", metavar="NAME", help="whose features (embedding)")
        each.add_argument("--name", default="", help="of the network, for the results")
        each.add_argument("--out", type=on_a_disk, metavar="DIR", help="folder for the results")
    return parser


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--probe", metavar="NAME", help="lbfgs, sgd, knn, attentive (lbfgs)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the probe")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S", help="a fit each (0)")
    parser.add_argument("--group-by", metavar="ATTRIBUTE", help="of training videos, held out as a whole")
