"""Hara's Table 1 and Figure 2: train what each needs, then put what came out beside the paper's figures.

python projects/training_data/study.py table1 figure2 --data videos --out runs/training_data
python projects/training_data/study.py figure2 --data videos --weights kinetics400=r3d50_k400.pyth
python projects/training_data/study.py table1 figure2                   # of the runs that are there

`--data` has one folder a data set, named as the files in `datasets/`, each with its `train.csv` and `test.csv`; without
it nothing is run. A run whose results are there is not repeated, so an interrupted study goes on where it was.
`--dry-run` prints the commands of the runs that can be made now, one a line; fine-tuning comes up once what it starts
from is there.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

import matplotlib
import numpy as np
from matplotlib import pyplot
from scipy import stats

from pvbias.report.results import RunResults
from pvbias.run.study import Run, Study, add_arguments, figure_value, rank_correlation, start
from pvbias.run.study_tables import (
    StudyTables,
    add_data_arguments,
    read_weights,
    side_by_side,
    spread,
    write_tables,
)
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

GENERIC, FINE_GRAINED = "generic", "fine-grained"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set, and the paper's Table 1 of it.

    Attributes:
        title: as in the paper.
        kind: :data:`GENERIC` or :data:`FINE_GRAINED`.
        original, shuffled: accuracy, percent.
        log_ratio: eq. 1.
    """

    title: str
    kind: str
    original: float
    shuffled: float
    log_ratio: float


def _set(title: str, kind: str, original: float, shuffled: float, log_ratio: float) -> DataSet:
    return DataSet(title=title, kind=kind, original=original, shuffled=shuffled, log_ratio=log_ratio)


#: By the names of the files in ``datasets/``.
DATA_SETS = {
    "kinetics400": _set("Kinetics-400", GENERIC, 64.3, 32.7, 0.68),
    "moments": _set("Moments in Time", GENERIC, 27.1, 14.2, 0.65),
    "activitynet": _set("ActivityNet", GENERIC, 33.4, 29.6, 0.12),
    "ucf101": _set("UCF-101", GENERIC, 45.3, 32.0, 0.35),
    "hmdb51": _set("HMDB-51", GENERIC, 19.4, 11.0, 0.56),
    "something_v2": _set("Something v2", FINE_GRAINED, 44.3, 2.3, 2.95),
    "jester": _set("Jester", FINE_GRAINED, 92.0, 20.1, 1.52),
    "gym288": _set("Gym288", FINE_GRAINED, 71.7, 3.9, 2.92),
    "diving48": _set("Diving48", FINE_GRAINED, 15.1, 4.2, 1.29),
}
#: Of Figure 2.
TARGETS = ("gym288", "diving48", "ucf101")
#: The pairs that section 4.2 compares: fine-grained sources, and larger generic ones.
COMPARED = (("something_v2", "jester"), ("kinetics400", "moments"))
#: Colour maps of Figure 2's bars.
COLOURS = {GENERIC: "Blues", FINE_GRAINED: "Reds"}
#: p values up to which something is said to be held.
ALPHA = 0.05

Key = TypeVar("Key")


class Tables(StudyTables):
    """The runs of Table 1 and Figure 2, by what they are made from."""

    def scratch(self) -> dict[str, list[RunResults]]:
        """Trainings from random weights on each data set, by seed, run together where they are missing."""
        return self._finish({name: [self._trained(name, seed) for seed in self.seeds] for name in DATA_SETS})

    def transfer(self) -> dict[tuple[str, str], list[RunResults]]:
        """Fine-tuning on each of TARGETS from each of the other data sets, by (source, target) and seed."""
        untrained = [name for name in DATA_SETS if name not in self.weights]
        self._finish({name: [self._trained(name, seed) for seed in self.seeds] for name in untrained})
        runs = {
            (source, target): [
                self._run(f"{target}_after_{source}", target, seed, *start(weights), "BIAS.ENABLE", "False")
                for seed in self.seeds
                if (weights := self.weights.get(source) or self.study.checkpoint(self._trained(source, seed)))
            ]
            for source, target in product(DATA_SETS, TARGETS)
            if source != target
        }
        return self._finish(runs)

    def _finish(self, groups: Mapping[Key, list[Run]]) -> dict[Key, list[RunResults]]:
        if self.data is None:
            groups = {name: [run for run in runs if self.study.is_done(run)] for name, runs in groups.items()}
        self.study.make([run for runs in groups.values() for run in runs])
        return {name: self.study.finish(runs) for name, runs in groups.items()}

    def _trained(self, name: str, seed: int) -> Run:
        weights = self.weights.get(name)
        return self._run(name, name, seed, *((*start(weights), "TRAIN.ENABLE", "False") if weights else ()))

    def _run(self, name: str, dataset: str, seed: int, *overrides: str) -> Run:
        keys = ("DATA.PATH_TO_DATA_DIR", str(self.data.resolve() / dataset)) if self.data else ()
        config = HERE / "datasets" / f"{dataset}.yaml"
        return Run(name=name, seed=seed, config=config, overrides=(*keys, *overrides))


def table1(tables: Tables) -> str:
    """Table 1: accuracy, accuracy on shuffled clips and log ratio of each data set; the paper's first conclusion."""
    found = tables.scratch()
    rows = {
        each.title: [
            (each.original, [_top1(run, "modulated_accuracy") for run in found[name]]),
            (each.shuffled, [_top1(run, "modulated_accuracy", "shuffle") for run in found[name]]),
            (each.log_ratio, log_ratios(found[name])),
        ]
        for name, each in DATA_SETS.items()
    }
    columns = ("original (%)", "shuffled (%)", "log ratio")
    ours = {name: log_ratios(runs) for name, runs in found.items()}
    return "\n\n".join(
        [
            side_by_side("data set", columns, rows),
            f"The paper's log ratios: {compare_kinds({name: each.log_ratio for name, each in DATA_SETS.items()})}",
            f"Ours: {compare_kinds({name: float(np.mean(values)) for name, values in ours.items() if values})}",
        ]
    )


def compare_kinds(ratios: Mapping[str, float]) -> str:
    """Conclusion (i) in a sentence: whether fine-grained data sets have larger log ratios (Mann-Whitney's exact test).

    Args:
        ratios: by data set.
    """
    kinds = {kind: [value for name, value in ratios.items() if DATA_SETS[name].kind == kind] for kind in COLOURS}
    if min(map(len, kinds.values())) < 2:
        return "not enough runs."
    p = stats.mannwhitneyu(kinds[FINE_GRAINED], kinds[GENERIC], method="exact").pvalue
    ranges = (f"{kind} {min(values):.2f} to {max(values):.2f}" for kind, values in kinds.items())
    larger = float(np.median(kinds[FINE_GRAINED]) - np.median(kinds[GENERIC])) > 0
    outcome = "cannot be told" if p > ALPHA else "held" if larger else "not held"
    return f"{', '.join(ranges)}; p = {p:.3f} (Mann-Whitney, exact). Fine-grained ones are larger: {outcome}."


def figure2(tables: Tables) -> str:
    """Figure 2: accuracy after fine-tuning from each of the other data sets, and what the log ratio predicts of it."""
    trained, tuned = tables.scratch(), tables.transfer()
    ratios = {name: float(np.mean(log_ratios(runs))) for name, runs in trained.items() if runs}
    means = {key: [_top1(run, "accuracy") for run in runs] for key, runs in tuned.items()}
    lines = [f"| pre-trained on | log ratio | {' | '.join(DATA_SETS[target].title for target in TARGETS)} |"]
    lines.append("|---" * (len(TARGETS) + 2) + "|")
    for source, each in DATA_SETS.items():
        cells = ["-" if source == target else spread(means[source, target], 2) for target in TARGETS]
        lines.append(f"| {each.title} | {f'{ratios[source]:.2f}' if source in ratios else ''} | {' | '.join(cells)} |")
    parts = ["\n".join(lines), "\n".join(said_of(target, ratios, means) for target in TARGETS)]
    if any(means.values()):
        draw_bars(tables.study.out / "figure2.png", ratios, means)
        parts.append("![accuracy after fine-tuning, coloured by the log ratio of the source](figure2.png)")
    return "\n\n".join(parts)


def said_of(target: str, ratios: Mapping[str, float], means: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """What the log ratios of the sources predict of a target, and section 4.2's comparison, as an item of a list."""
    reached = {source: float(np.mean(means[source, target])) for source in DATA_SETS if means.get((source, target))}
    known = [source for source in reached if source in ratios]
    item = f"- {DATA_SETS[target].title} ({DATA_SETS[target].kind}): "
    rho, p = rank_correlation([ratios[each] for each in known], [reached[each] for each in known])
    item += (
        "no rank correlation yet"
        if math.isnan(rho)
        else f"rank correlation {rho:+.2f} (p = {p:.3f}, {len(known)} sources)"
    )
    if not all(source in reached for pair in COMPARED for source in pair):
        return f"{item}; the paper's comparison needs its four sources."
    fine, generic = (float(np.mean([reached[source] for source in pair])) for pair in COMPARED)
    expected = fine > generic if DATA_SETS[target].kind == FINE_GRAINED else generic > fine
    names = (
        " and ".join(DATA_SETS[each].title for each in COMPARED[0]),
        " and ".join(DATA_SETS[each].title for each in COMPARED[1]),
    )
    return (
        f"{item}; {names[0]} {fine:.2f} %, {names[1]} {generic:.2f} %: {'as' if expected else 'not as'} in the paper."
    )


def draw_bars(path: Path, ratios: Mapping[str, float], means: Mapping[tuple[str, str], Sequence[float]]) -> None:
    """Draw a panel a target: a bar a source, blue for generic and red for fine-grained ones, the darker the larger its
    log ratio."""
    matplotlib.use("agg")
    canvas, axes = pyplot.subplots(1, len(TARGETS), figsize=(14, 4), layout="constrained")
    largest = max(ratios.values(), default=1.0)
    for axis, target in zip(axes, TARGETS, strict=True):
        sources = [source for source in DATA_SETS if means.get((source, target))]
        shades = [0.3 + 0.7 * max(ratios.get(source, 0.0), 0.0) / largest for source in sources]
        colours = [
            matplotlib.colormaps[COLOURS[DATA_SETS[source].kind]](shade)
            for source, shade in zip(sources, shades, strict=True)
        ]
        axis.bar(range(len(sources)), [np.mean(means[source, target]) for source in sources], color=colours)
        labels = [DATA_SETS[source].title for source in sources]
        axis.set_xticks(range(len(sources)), labels, rotation=45, ha="right", fontsize=8)
        axis.set(title=DATA_SETS[target].title, ylabel="accuracy (%)")
    canvas.savefig(path, dpi=110)
    pyplot.close(canvas)


def log_ratios(runs: Sequence[RunResults]) -> list[float]:
    """Eq. 1 of each run."""
    return [figure_value(run, "modulated_accuracy", "log_ratio", "shuffle", levels=("video",)) for run in runs]


def _top1(run: RunResults, evaluator: str, variant: str = "original") -> float:
    return figure_value(run, evaluator, "top1", variant, levels=("video",))


TABLES: dict[str, Callable[[Tables], str]] = {"table1": table1, "figure2": figure2}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=TABLES)
    add_data_arguments(parser)
    add_arguments(parser, out="runs/training_data", seeds=(0,))
    arguments = parser.parse_args(argv)
    weights = read_weights(arguments.weights, DATA_SETS)
    study = Study.from_args(arguments)
    tables = Tables(study=study, data=arguments.data, seeds=tuple(arguments.seeds), weights=weights)
    write_tables(study, {name: functools.partial(TABLES[name], tables) for name in arguments.tables})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
