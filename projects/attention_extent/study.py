"""Extent of attention of small transformers at random weights and trained on motion.

python projects/attention_extent/study.py --out runs/attention_extent --jobs 2

trains what is missing and writes `attention_extent.md` below `--out`; a run whose results are there is not repeated.
`--dry-run` prints the commands of the runs that are missing, one a line; they need this folder on `PYTHONPATH`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from pvbias.report import RunResults
from pvbias.run.study import Run, Study, add_arguments, figure_value
from pvbias.run.study_tables import write_tables
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

MODELS = ("small_mvit", "small_vit")
#: Of each run: whether it trains; without, the random weights that its training begins with are measured.
WEIGHTS = {"random": False, "trained": True}
EVALUATOR = "attention_extent"
HEADING = """\
| network | weights | top-1, % | relative extent | by layer | position shift, nats |
|---|---|---|---|---|---|"""


def measure(study: Study, seeds: Sequence[int]) -> dict[tuple[str, str], list[RunResults]]:
    """The runs of each network and kind of weights, by seed; what is missing of them is made."""
    runs = {
        (model, weights): [
            Run(
                name=f"{model}_{weights}",
                seed=seed,
                config=HERE / "base.yaml",
                overrides=("MODEL.MODEL_NAME", model, "TRAIN.ENABLE", str(trained)),
            )
            for seed in seeds
        ]
        for model in MODELS
        for weights, trained in WEIGHTS.items()
    }
    study.make([run for each in runs.values() for run in each])
    return {key: study.finish(each) for key, each in runs.items()}


def table(measured: dict[tuple[str, str], list[RunResults]]) -> str:
    """A row for each network and kind of weights: means over the seeds, and their range."""
    lines = [HEADING]
    for (model, weights), runs in measured.items():
        top1 = [figure_value(run, "accuracy", "top1", levels=("video",)) for run in runs]
        extents = [figure_value(run, EVALUATOR, "relative_extent") for run in runs]
        shifts = [figure_value(run, EVALUATOR, "position_shift") for run in runs]
        layers_of = [[row["relative_extent"] for row in run.results[EVALUATOR].tables["layers"]] for run in runs]
        layers = " ".join(f"{fmean(values):.2f}" for values in zip(*layers_of, strict=True))
        cells = (model, weights, ranged(top1, 0), ranged(extents, 3), layers, ranged(shifts, 3))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ranged(values: Sequence[float], digits: int) -> str:
    """The mean, and the smallest and the largest value."""
    return f"{fmean(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/attention_extent", seeds=range(3))
    arguments = parser.parse_args(argv)
    # Where the configuration's plugin is, for this process and those of the runs.
    sys.path.insert(0, str(HERE))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    study = Study.from_args(arguments)
    measured = measure(study, arguments.seeds)
    write_tables(study, {"attention_extent": lambda: "" if study.dry_run else table(measured)})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
