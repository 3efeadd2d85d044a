"""Where the source's appearance gives the label away: what DANN and CDAN make of an unlabelled target.

python projects/domain_adaptation/study.py --out runs/domain_adaptation --in-process

trains what is missing and writes `domain_adaptation.md` below `--out`; a run whose results are there is not repeated.
`--dry-run` prints the commands of the runs that can be made now, one a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from pvbias.run.study import Run, Study, add_arguments, figure_value, logged_steps, start, text, verdict
from pvbias.run.study_tables import write_tables
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

BASELINE = "source only"
METHODS = {
    BASELINE: ("OBJECTIVE.NAME", "CrossEntropy"),
    "DANN": ("OBJECTIVE.NAME", "CrossEntropy + DANN"),
    "CDAN+E": ("OBJECTIVE.NAME", "CrossEntropy + CDAN"),
}
#: What is tested: videos of the source's kind, and of the target's.
SIDES = {"source": "in", "target": "balanced"}
#: In the second half of the training: how often the classifier of domains is right.
TOLD_APART = "domain_accuracy"

#: Of each method, for each seed: accuracy by side (percent), TOLD_APART (percent).
Measured = Mapping[str, Mapping[str, Sequence[float]]]


def measure(study: Study, seeds: Sequence[int], methods: Sequence[str]) -> Measured:
    """Pre-train, fine-tune with each of these methods, test on source and target; what is missing of it."""
    brush = [Run(name="brush", seed=seed, config=HERE / "brush.yaml", overrides=_videos(seed)) for seed in seeds]
    study.make(brush)
    tuned = {
        (method, run.seed): Run(
            name=method.lower().replace(" ", "_"),
            seed=run.seed,
            config=HERE / "tuned.yaml",
            overrides=(*_videos(run.seed), *METHODS[method], *start(study.checkpoint(run))),
        )
        for run, method in product(brush, methods)
        if study.checkpoint(run)
    }
    target = dict(zip(tuned, study.finish(list(tuned.values())), strict=False))
    tested = {
        key: replace(
            run,
            name=f"{run.name}_source",
            # The methods differ in training alone: what is tested is the plain network.
            overrides=(
                *_videos(run.seed),
                *("DECOUPLED.CONTEXT", SIDES["source"], "TRAIN.ENABLE", "False"),
                *start(study.checkpoint(run)),
            ),
        )
        for key, run in tuned.items()
        if study.checkpoint(run)
    }
    source = dict(zip(tested, study.finish(list(tested.values())), strict=False))
    if study.dry_run:
        return {}
    measured: dict[str, dict[str, list[float]]] = {method: {} for method in methods}
    for (method, seed), run in tuned.items():
        figures = {
            side: figure_value(results[method, seed], "accuracy", "top1")
            for side, results in {"source": source, "target": target}.items()
        }
        for name, value in (figures | told_apart(study.folder(run))).items():
            measured[method].setdefault(name, []).append(value)
    return measured


def _videos(seed: int) -> tuple[str, str]:
    """Other videos for each seed."""
    return "DECOUPLED.SEED", str(seed)


def told_apart(folder: Path) -> dict[str, float]:
    """TOLD_APART, mean over the second half of a training; empty where there is no classifier of domains."""
    steps = logged_steps(folder)
    found = [value for step in steps for name, value in step.items() if name.endswith(f"/{TOLD_APART}")]
    return {TOLD_APART: 100 * float(np.mean(found[len(found) // 2 :]))} if found else {}


def gains(measured: Measured, method: str, side: str) -> list[float]:
    """Percentage points over the baseline, seed by seed."""
    return [ours - base for ours, base in zip(measured[method][side], measured[BASELINE][side], strict=True)]


def table(measured: Measured) -> str:
    """A row for each method: accuracies, what is gained on the target seed by seed, how far domains are told apart."""
    lines = [
        "| method | source (%) | target (%) | gained on the target | domains told apart (%) | |",
        "|---|---|---|---|---|---|",
    ]
    for method, figures in measured.items():
        gained = gains(measured, method, "target") if method != BASELINE else []
        cells = [
            method,
            *(text(figures[side], 1) for side in SIDES),
            text(gained, 1, sign="+") if gained else "",
            text(figures[TOLD_APART], 1) if TOLD_APART in figures else "",
            verdict(gained) if gained else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/domain_adaptation", seeds=range(5))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="beside source only")
    arguments = parser.parse_args(argv)
    study = Study.from_args(arguments)
    measured = measure(study, arguments.seeds, list(dict.fromkeys([BASELINE, *arguments.methods])))
    write_tables(study, {"domain_adaptation": lambda: table(measured) if measured else ""})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
