"""Judge features of frozen networks on other data: probes, few-shot episodes, the arrow of time, shared classes; one
protocol at a time, or the table of any number of networks, data sets and protocols."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode
from tabulate import tabulate

from pvbias.config.remembered import load_cfg
from pvbias.errors import ConfigError
from pvbias.shard import Shard
from pvbias.storage.addresses import on_a_disk

from .submit import add_cluster_options, submit_parts

EXAMPLES = """examples:
  pvbias features runs/mine --data lists/train.csv --out features/train     # once; likewise features/test
  pvbias transfer probe features/train features/test                        # linear, L-BFGS, L2 penalty chosen
  pvbias transfer probe features/train features/test --probe sgd --seeds 0 1 2 --set epochs=50 lr=0.01
  pvbias transfer probe features/train features/test --modulations original shuffle reverse 'freeze(frame=first)'
  pvbias transfer arrow-of-time features/train features/test
  pvbias transfer few-shot features/test --ways 5 --shots 1 5 --episodes 600
  pvbias transfer generalization features/mimetics --class-map mimetics10_kinetics400.csv
  pvbias transfer table table.yaml --out transfer/                          # killed, the same command goes on
  pvbias transfer table table.yaml --out transfer/ --array 16 --set SLURM.PARTITION cpu

With --out, the results are written as those of a run (results.json, tables/*.csv), which `pvbias compare` puts side by
side, with the intervals of differences video by video or episode by episode. Of a table: OUT/report.html,
OUT/transfer.csv, and a record of each cell in OUT/cells. What is in its file, and more: plugins/transfer/README.md."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    args = _parser().parse_args(argv)
    return _table(args, argv) if args.protocol == "table" else _protocol(args, argv)


def _protocol(args: argparse.Namespace, argv: Sequence[str]) -> int:
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    from pvbias.features import read_features
    from pvbias.plugins.transfer.protocols import PROTOCOLS
    from pvbias.plugins.transfer.records import write_record
    from pvbias.plugins.transfer.settings import make
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
            episodes=getattr(protocol, "episodes", 0),
            command=shlex.join(["pvbias", "transfer", *argv]),
        )
        print(f"\n{args.out}/results.json")
    return 0


def _table(args: argparse.Namespace, argv: Sequence[str]) -> int:
    part = partial(_compute, path=args.config, out=args.out)
    last = partial(_finish, path=args.config, out=args.out, command=shlex.join(["pvbias", "transfer", *argv]))
    if args.array is None:
        _compute(path=args.config, out=args.out)
        last()
        return 0
    others = [key for key in args.keys[::2] if not key.startswith("SLURM.")]
    if others:
        raise ConfigError(f"--set {others[0]}: only keys of SLURM have a meaning here.")
    cfg = load_cfg(overrides=["OUTPUT_DIR", args.out, "SLURM.GPUS_PER_NODE", "0", *args.keys])
    return submit_parts(cfg, args, part=part, last=last, paths=lambda _: None)


def _compute(cfg: CfgNode | None = None, *, path: str, out: str, shard: Shard | None = None) -> None:
    from pvbias.plugins.transfer.table import read_table

    read_table(path, out).compute(shard)


def _finish(cfg: CfgNode | None = None, *, path: str, out: str, command: str) -> None:
    """Compute what is missing still, and write the table and its page."""
    from pvbias.files import write_atomically
    from pvbias.plugins.transfer.page import write_page
    from pvbias.plugins.transfer.table import read_table
    from pvbias.report.words import interval, number

    table = read_table(path, out)
    table.compute()
    rows = table.rows()
    text = io.StringIO(newline="")
    fields = list(rows[0]) if rows else []  # of pictures alone
    writer = csv.DictWriter(text, fieldnames=fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(Path(out, "transfer.csv"), text.getvalue().encode())
    about = {"Command": command, "Configuration": Path(path).read_text(encoding="utf-8")}
    page = write_page(table, rows, Path(out, "report.html"), about=about)
    shown = [
        [
            *(row[key] for key in ("data", "protocol", "figure", "clips", "model")),
            f"{number(row['value'], '%')} {interval(_ends(row, ''), '%')}",
            ""
            if row["difference"] is None
            else f"{number(row['difference'], 'points', signed=True)} "
            f"{interval(_ends(row, 'difference_'), 'points', signed=True)}",
        ]
        for row in rows
    ]
    heads = ["data", "protocol", "figure", "clips", "network", "% [95 %]", "difference to the first [95 %]"]
    print(tabulate(shown, headers=heads, disable_numparse=True))
    print(f"\n{page}")


def _ends(row: Mapping[str, Any], prefix: str) -> tuple[float, float] | None:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return None if low is None else (low, high)


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
    general = commands.add_parser("generalization", help="accuracy of the network's own classifier on shared classes")
    general.set_defaults(protocol="generalization", train=None, set=[])
    general.add_argument("test", metavar="F", help="folder of features, with the logits")
    general.add_argument("--class-map", metavar="FILE", help="which classes are shared (default: those of the videos)")
    general.add_argument("--modulations", nargs="+", metavar="M", help="of the clips (original)")
    for each in (probe, arrow, few):
        each.add_argument("--layer", metavar="NAME", help="whose features (embedding)")
    for each in (probe, arrow, few, general):
        each.add_argument("--name", default="", help="of the network, for the results")
        each.add_argument("--out", type=on_a_disk, metavar="DIR", help="folder for the results")
    table = commands.add_parser("table", help="all of a YAML file: networks x data sets x protocols")
    table.set_defaults(protocol="table")
    table.add_argument("config", metavar="FILE", help="models, data and protocols (plugins/transfer/README.md)")
    table.add_argument("--out", required=True, type=on_a_disk, metavar="DIR", help="folder for the table and its page")
    group = table.add_argument_group("as an array of jobs (pvbias/cluster/README.md)")
    group.add_argument("--array", type=int, metavar="N", help="N jobs, each with every N-th of the cells")
    group.add_argument(
        "--set", nargs="+", default=[], metavar="SLURM.KEY VALUE", dest="keys", help="what each job asks Slurm for"
    )
    add_cluster_options(group)
    return parser


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--probe", metavar="NAME", help="lbfgs, sgd, knn, attentive (lbfgs)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the probe")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S", help="a fit each (0)")
    parser.add_argument("--group-by", metavar="ATTRIBUTE", help="of training videos, held out as a whole")
