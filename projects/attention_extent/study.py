"""Extent of attention of small transformers at random weights and trained on motion.

python projects/attention_extent/study.py --out runs/attention_extent
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from pvbias.config import load_cfg  # noqa: E402
from pvbias.report import RunResults, read_results  # noqa: E402
from pvbias.run import run  # noqa: E402

MODELS = ("small_mvit", "small_vit")
FIGURES = ("relative_extent", "position_shift")


def measure(model: str, seed: int, out: Path, *, trained: bool, keys: list[str]) -> RunResults:
    """The results of a network, trained or with the random weights that its training begins with; those that are there
    already are read.

    Args:
        model: of :data:`MODELS`.
        seed: RNG_SEED.
        out: folder of the run.
        keys: further keys and values of the configuration.
    """
    if not (out / "results.json").exists():
        given = ["MODEL.MODEL_NAME", model, "RNG_SEED", str(seed), "OUTPUT_DIR", str(out)]
        run(load_cfg(str(HERE / "base.yaml"), [*given, "TRAIN.ENABLE", str(trained), *keys]))
    return read_results(out)


def main(argv: list[str] | None = None) -> None:
    """Train, measure, and print a table: mean over seeds, and their range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY VALUE", help="any configuration keys")
    args = parser.parse_args(argv)
    lines = [
        "| network | weights | top-1, % | relative extent | by layer | position shift, nats |",
        "|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for trained in (False, True):
            weights = "trained" if trained else "random"
            runs = [
                measure(model, seed, Path(args.out) / f"{model}_{weights}_{seed}", trained=trained, keys=args.set)
                for seed in range(args.seeds)
            ]
            lines.append(row(model, weights, runs))
            print(lines[-1], flush=True)
    print("\n".join(lines))


def row(model: str, weights: str, runs: list[RunResults]) -> str:
    """A row of the table."""
    top1 = [figure_of(run, "accuracy", "top1") for run in runs]
    extents, shifts = ([figure_of(run, "attention_extent", name) for run in runs] for name in FIGURES)
    by_layer = zip(
        *([each["relative_extent"] for each in run.results["attention_extent"].tables["layers"]] for run in runs),
        strict=True,
    )
    layers = " ".join(f"{fmean(values):.2f}" for values in by_layer)
    return f"| {model} | {weights} | {ranged(top1, 0)} | {ranged(extents, 3)} | {layers} | {ranged(shifts, 3)} |"


def figure_of(run: RunResults, evaluator: str, name: str) -> float:
    """The first figure of a name."""
    return next(figure.value for figure in run.results[evaluator].figures if figure.name == name)  # type: ignore[return-value]


def ranged(values: list[float], digits: int) -> str:
    """The mean, and the smallest and the largest value."""
    return f"{fmean(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


if __name__ == "__main__":
    main()
