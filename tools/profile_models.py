"""Draw how temporal the kernels of networks are over depth, beside the same architectures at random weights. Looks at
weights alone: no videos are needed."""

# Not profile.py: `python tools/run_net.py` puts this folder before the standard library, which has one.

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from fvcore.common.config import CfgNode
from tabulate import tabulate

from pvbias.config import complete, load_cfg
from pvbias.engine.seeding import seed_everything
from pvbias.errors import ConfigError, WeightsError
from pvbias.evaluation import Result
from pvbias.layers import describe_fast_layers, use_fast_layers
from pvbias.models import Recognizer, build_recognizer
from pvbias.plugins.bias_metrics.report.paper_figures import FIGURES
from pvbias.plugins.bias_metrics.report.profile import Architecture, Profile, write_profiles
from pvbias.registries import EVALUATOR, FAST_LAYER
from pvbias.runtime import choose_settings
from pvbias.storage.addresses import on_a_disk
from pvbias.versions import versions
from pvbias.zoo import load_weights

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  # trained networks of two architectures
  pvbias profile slow_r50=slow.pyth x3d_s=zoo://pytorchvideo/x3d_s/kinetics400 --out profiles/
  # one architecture trained on two data sets; of another, only what it is born with
  pvbias profile slow_r50=kinetics.pyth slow_r50=ssv2.pyth x3d_s --out profiles/
  # the networks of the temporality paper's figures, and others that are published, as far as they can be fetched
  pvbias profile --published --out profiles/
  # how many of a network's layers are computed faster on a GPU
  pvbias profile x3d_m --layers

Results: OUT/report.html, OUT/results.json. With --published, weights that cannot be had are named on the page, and the
exit code is 4 where there are any."""

#: Registered evaluators that look at weights alone; each has a table ``layers``.
EVALUATORS = ("asdt", "self_convolution")
#: Which side of the threshold is temporal, and the end of the names of what is measured so.
SIDES = {"below": "", "above": "_as_printed"}

#: A head has no temporal kernels, so that any number does; this is what most zoo checkpoints have.
NUM_CLASSES = 400


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.controls < 1:
        parser.error(f"--controls {args.controls}: give one or more")
    if not args.networks and not args.published:
        parser.error("there is nothing to look at: give MODEL[=WEIGHTS], or --published")
    if args.layers and args.published:
        parser.error("--layers and --published are two things: give one")
    wanted: dict[str, list[str]] = {}
    for network in args.networks:
        model, given, weights = network.partition("=")
        if given and not weights:
            parser.error(f"{network!r} names no weights: give MODEL=WEIGHTS, or MODEL for random ones only")
        wanted.setdefault(model, []).extend([weights] if weights else [])
    paper = FIGURES if args.published else ()
    published = dict.fromkeys(network for figure in paper for network in figure.networks)
    for model, weights in published:
        wanted.setdefault(model, [])
        if weights not in wanted[model]:
            wanted[model].append(weights)
    cfgs = {model: _configure(model, sources, args) for model, sources in wanted.items()}
    if args.layers:
        for model, cfg in cfgs.items():
            print(_layers(model, cfg))
        return 0
    if args.out is None:
        parser.error("the page needs a folder: give --out, or --layers")
    architectures, not_applicable = [], {}
    optional = _Optional({weights for _, weights in published} - {name.partition("=")[2] for name in args.networks})
    for model, sources in wanted.items():
        found = _look_at(cfgs[model], sources, args.controls, optional)
        if isinstance(found, Architecture):
            architectures.append(found)
        else:
            logger.info("%s: %s", model, found)
            not_applicable[model] = found
    if not architectures:
        raise ConfigError(f"There is nothing to draw of {', '.join(wanted)}. {not_applicable.popitem()[1]}")
    command = shlex.join(["pvbias", "profile", *argv])
    page = write_profiles(
        args.out,
        architectures,
        not_applicable=not_applicable,
        command=command,
        versions=versions(),
        paper=paper,
        missing=optional.missing,
    )
    print(page)
    if optional.missing:
        print(f"pvbias: {len(optional.missing)} of {len(published)} networks could not be had:", file=sys.stderr)
        for address, why in optional.missing.items():
            print(f"  {address}: {why}", file=sys.stderr)
        return WeightsError.exit_code
    return 0


@dataclass
class _Optional:
    """Weights that may be missing: their addresses, and why some are."""

    addresses: set[str]
    missing: dict[str, str] = field(default_factory=dict)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias profile",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="MODEL[=WEIGHTS]",
        help="a name from `pvbias list models` and a checkpoint (a path, an https URL or zoo://ZOO/MODEL/WEIGHTS); "
        "without one, random weights only",
    )
    parser.add_argument("--out", type=on_a_disk, help="folder for the page and its figures")
    parser.add_argument(
        "--published",
        action="store_true",
        help="the published networks of the temporality paper's figures (3, 4, 11, B.13, B.14) and others of the "
        "catalogue, beside the paper's statements; weights are fetched where they are not in the cache",
    )
    parser.add_argument(
        "--layers", action="store_true", help="list instead the layers that have a faster forward on a GPU, by kind"
    )
    parser.add_argument("--controls", type=int, default=3, help="seeds of the random weights (default 3)")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    return parser


def _configure(model: str, sources: Sequence[str], args: argparse.Namespace) -> CfgNode:
    """The configuration of an architecture, of a family's as the first of its weights describes it."""
    overrides = ["MODEL.MODEL_NAME", model, "PLUGINS", str(args.plugins), "TRAIN.ENABLE", "False"]
    for source in sources[:1]:
        overrides += ["TEST.CHECKPOINT_FILE_PATH", source]
    cfg = complete(load_cfg(overrides=[*overrides, *args.keys]), num_classes=NUM_CLASSES)
    if cfg.BIAS.SELF_CONVOLUTION_TEMPORAL != "below":
        raise ConfigError("BIAS.SELF_CONVOLUTION_TEMPORAL: `pvbias profile` draws both sides. Leave it out.")
    return cfg


def _layers(model: str, cfg: CfgNode) -> str:
    """A table of a network's layers that have a faster forward on a GPU."""
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    where = settings.describe()["device"]
    if settings.device.type == "cpu":
        where += ", where they are not used"
        use_fast_layers(recognizer, settings.layers_off)
    counts = describe_fast_layers(recognizer)
    rows = [(name, count, FAST_LAYER.get(name).description) for name, count in sorted(counts.items())]
    table = tabulate(rows, headers=("kind", "layers", "what is done differently"))
    return f"{model}, {where}, {settings.memory_format}\n{table}\n"


def _look_at(cfg: CfgNode, sources: Sequence[str], num_controls: int, optional: _Optional) -> Architecture | str:
    """An architecture with each of these weights, and at random ones; or why there is nothing to look at."""
    model = cfg.MODEL.MODEL_NAME
    controls = []
    for seed in range(num_controls):
        seed_everything(cfg.RNG_SEED, seed)
        results = _measure(cfg, build_recognizer(cfg))
        if results[0].not_applicable:
            return results[0].not_applicable
        controls.append(_profile(f"{model}, random {seed}", f"random initialisation, seed {seed}", "", results))
    # A file's name says more than its folder, as long as there are no two of it.
    names = [PurePath(source).stem for source in sources]
    networks = []
    for source, name in zip(sources, names, strict=True):
        recognizer = build_recognizer(cfg)
        try:
            report = str(load_weights(recognizer, source, min_match=cfg.CHECKPOINT.MIN_MATCH))
        except WeightsError as error:
            if source not in optional.addresses:
                raise
            logger.warning("%s", error)
            optional.missing[source] = str(error)
            continue
        logger.info("%s", report)
        shown = f"{model} ({name if names.count(name) == 1 else source})"
        networks.append(_profile(shown, source, report, _measure(cfg, recognizer)))
    return Architecture(model=model, networks=networks, controls=controls)


def _measure(cfg: CfgNode, recognizer: Recognizer) -> list[Result]:
    """Results of the evaluators; of self-convolution by either definition, the printed one's under other names."""
    results = []
    for side, ending in SIDES.items():
        own = cfg.clone()
        own.defrost()
        own.BIAS.SELF_CONVOLUTION_TEMPORAL = side
        for name in EVALUATORS if not ending else ("self_convolution",):
            result = EVALUATOR.get(name)(own, recognizer, []).evaluate()
            results.append(_renamed(result, ending) if ending else result)
    return results


def _renamed(result: Result, ending: str) -> Result:
    """The share of temporal channels alone, under another name."""
    share = "temporal_share"
    figures = [
        replace(figure, name=figure.name.replace("temporal_channels", f"temporal_channels{ending}"))
        for figure in result.figures
    ]
    layers = [{f"{share}{ending}": row[share]} for row in result.tables.get("layers", [])]
    return replace(result, figures=figures, tables={"layers": layers})


def _profile(name: str, weights: str, load_summary: str, results: Sequence[Result]) -> Profile:
    """The evaluators' figures, and their tables side by side."""
    return Profile(
        name=name,
        weights=weights,
        load_summary=load_summary,
        figures=[figure for result in results for figure in result.figures],
        layers=[
            {column: value for row in rows for column, value in row.items()}
            for rows in zip(*(result.tables["layers"] for result in results), strict=True)
        ],
    )
