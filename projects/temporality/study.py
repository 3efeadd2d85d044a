"""The temporality study: train what each table and figure needs, then make it from the runs' results.

python projects/temporality/study.py table1 --out runs/temporality --seeds 0 1 2
python projects/temporality/study.py table1 truth table2 profiles context --out runs/temporality --jobs 2
python projects/temporality/study.py table1 --size long --out runs/temporality_long --jobs 2

Each size needs a folder of its own: the names of its runs do not say it.

A run whose results are there is not repeated, so an interrupted study goes on where it was. `--dry-run` prints the
commands of the runs that are missing, one a line, for whoever wants to give them to a cluster. Runs that start from the
weights of a missing one are not among them: ask again when it is done.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from pvbias.report.results import RunResults
from pvbias.run.study import Run, Study, add_arguments, find_figure
from pvbias.tools.main import guard

HERE = Path(__file__).parent

WEIGHTS_EVALUATORS = ("asdt", "self_convolution")
BRUSH_EVALUATORS = (*WEIGHTS_EVALUATORS, "modulated_accuracy", "sample_clips")
JOINT_EVALUATORS = (*BRUSH_EVALUATORS, "factor_errors", "temporal_activation")
PLACES_EVALUATORS = (*WEIGHTS_EVALUATORS, "factor_errors")

#: Table 2 at the small size: of the network that has learnt motions over places, and of those that start from it.
MOTION_SCHEDULE = ("SOLVER.MAX_EPOCH", "0.9", "SOLVER.WARMUP_EPOCHS", "0.06")
GRID_SCHEDULE = ("SOLVER.MAX_EPOCH", "0.6", "SOLVER.WARMUP_EPOCHS", "0.06")
#: At the long size: of Table 1's footprints, which are learnt sooner than videos, and of the start of Table 2's cells.
FOOTPRINT_SCHEDULE = ("SOLVER.MAX_EPOCH", "1.25")
BOTH_SCHEDULE = ("SOLVER.MAX_EPOCH", "0.5")

#: Paper, Table 1 (percent) and Table 2 (appearance x motion classes -> accuracy).
PAPER_ERRORS = {"joint": (2.49, 0.11, 0.03), "footprint": (1.89, 2.13, 0.04)}
PAPER_ORDER = (97.4, 11.3)
PAPER_GRID_CLASSES = (2, 4, 8, 16, 32, 64, 128, 256)
PAPER_GRID = np.array(
    [
        [0.99, 0.98, 0.99, 0.99, 0.99, 0.99, 0.98, 0.98],
        [0.96, 0.98, 0.97, 0.97, 0.97, 0.97, 0.97, 0.96],
        [0.89, 0.89, 0.90, 0.90, 0.89, 0.89, 0.86, 0.86],
        [0.86, 0.86, 0.83, 0.83, 0.82, 0.81, 0.81, 0.80],
        [0.78, 0.78, 0.77, 0.77, 0.76, 0.76, 0.75, 0.75],
        [0.66, 0.66, 0.66, 0.65, 0.65, 0.65, 0.65, 0.64],
        [0.52, 0.51, 0.50, 0.50, 0.49, 0.49, 0.49, 0.48],
        [0.36, 0.35, 0.35, 0.34, 0.33, 0.33, 0.32, 0.32],
    ]
)


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What the tables and figures are made from.

    Attributes:
        study: where the runs are, and how they are made.
        size: "small", "long" or "paper", the configuration.
        seeds: of the trainings.
    """

    study: Study
    size: str
    seeds: tuple[int, ...]

    def runs(self, name: str, *overrides: str, places: bool = False, start: str = "") -> list[Run]:
        """A training with each seed.

        Args:
            name: of the runs.
            overrides: ``KEY VALUE ...``.
            places: of Places+Faces+MNIST instead of BrushMNIST.
            start: the training whose last weights it starts from, run already; seeds that have none yet are left out.
        """
        config = HERE / f"{self.size}{'_places' if places else ''}.yaml"
        runs = []
        for seed in self.seeds:
            run = Run(name=name, seed=seed, config=config, overrides=overrides)
            weights = self.weights(start, seed) if start else ""
            if weights:
                run = replace(run, overrides=(*overrides, "TRAIN.CHECKPOINT_FILE_PATH", weights))
            if weights or not start or self.study.is_done(run):
                runs.append(run)
        return runs

    def weights(self, name: str, seed: int) -> str:
        """The last checkpoint of a training; empty where there is none yet."""
        return self.study.checkpoint(Run(name=name, seed=seed, config=HERE))

    def finish(self, *groups: list[Run]) -> list[list[RunResults]]:
        """The results of several trainings, run together where they are missing."""
        self.study.make([run for group in groups for run in group])
        return [self.study.finish(group) for group in groups]


def brush(trainings: Trainings, *ways: str) -> list[list[RunResults]]:
    """BrushMNIST, trained in each of these ways."""
    options = {
        "joint": ("joint", JOINT_EVALUATORS, ()),
        "footprint": ("joint", JOINT_EVALUATORS, ("DATA.MODULATION", "footprint_max")),
        "motion": ("motion", BRUSH_EVALUATORS, ()),
        "appearance": ("appearance", BRUSH_EVALUATORS, ()),
        "random": ("joint", WEIGHTS_EVALUATORS, ("TRAIN.ENABLE", "False")),
    }
    groups = []
    for way in ways:
        label, evaluators, overrides = options[way]
        if (way, trainings.size) == ("footprint", "long"):
            overrides += FOOTPRINT_SCHEDULE
        groups.append(trainings.runs(f"brush_{way}", "DECOUPLED.LABEL", label, *evaluating(evaluators), *overrides))
    return trainings.finish(*groups)


def places(trainings: Trainings, *sizes: tuple[int, int]) -> list[list[RunResults]]:
    """P+F+M_x_y with joint labels for each (x, y).

    From random weights short trainings learn no motion over places. So all cells start from one network that knows the
    places and the motions of the largest:

    - small: from BrushMNIST's motions, it has learnt the motions over places that say nothing of them.
    - long: from BrushMNIST's joint labels, it has learnt both factors at once, with a head and the same weight for
      each, which favours neither. Its first head has the joint classes and is not trained, so that no cell begins with
      a head that has been.
    """
    start, measured = "", evaluating(PLACES_EVALUATORS)
    if trainings.size != "paper":
        x, y = (str(max(counts)) for counts in zip(*sizes, strict=True))
        overrides = ("DECOUPLED.PLACES", x, "DECOUPLED.MOTIONS", y, "BIAS.ENABLE", "False")
        if trainings.size == "small":
            brush(trainings, "motion")
            before, start, schedule = "brush_motion", f"pfm_motion_{x}_{y}", GRID_SCHEDULE
            overrides += ("DECOUPLED.LABEL", "motion", *MOTION_SCHEDULE)
        else:
            brush(trainings, "joint")
            before, start, schedule = "brush_joint", f"pfm_both_{x}_{y}", ()
            overrides += ("MODEL.EXTRA_HEADS", f"[appearance={x}, motion={y}]", *BOTH_SCHEDULE)
            overrides += ("OBJECTIVE.NAME", "[CrossEntropy, AttributeHeads]", "OBJECTIVE.WEIGHTS", "[0.0, 1.0]")
        trainings.finish(trainings.runs(start, *overrides, places=True, start=before))
        measured += (*schedule, "DECOUPLED.TEST_VIDEOS", "500")  # of many classifiers, each in four variants
    return trainings.finish(
        *(
            trainings.runs(
                f"pfm_{x}_{y}",
                *("DECOUPLED.PLACES", str(x), "DECOUPLED.MOTIONS", str(y), *measured),
                places=True,
                start=start,
            )
            for x, y in sizes
        )
    )


def evaluating(names: Sequence[str]) -> tuple[str, ...]:
    """The override that measures these and nothing else."""
    return "BIAS.EVALUATORS", repr(list(names))


def table1(trainings: Trainings) -> str:
    """Table 1: errors of the joint classifier, on videos (a) and on their footprints (b), and reversed videos (c)."""
    lines = [
        "| trained and tested on | appearance errors | motion errors | both | paper: appearance, motion, both |",
        "|---|---|---|---|---|",
    ]
    joint, footprint = brush(trainings, "joint", "footprint")
    for training, what, runs in (("joint", "(a) videos", joint), ("footprint", "(b) their footprints", footprint)):
        cells = [
            spread([value_of(run, "factor_errors", f"{part}_errors") for run in runs], "%")
            for part in ("appearance", "motion", "both")
        ]
        lines.append(f"| {what} | {' | '.join(cells)} | {', '.join(f'{x} %' for x in PAPER_ERRORS[training])} |")
    heads = ("(c) videos", "joint accuracy", "motion accuracy", "appearance accuracy", "paper: motion")
    lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for variant, paper in zip(("original", "reverse"), PAPER_ORDER, strict=True):
        cells = [
            spread([value_of(run, "factor_errors", f"{part}_accuracy", variant) for run in joint], "%")
            for part in ("joint", "motion", "appearance")
        ]
        lines.append(f"| {variant} | {' | '.join(cells)} | {paper} % |")
    return "\n".join(lines)


def truth(trainings: Trainings) -> str:
    """What the measures say of networks whose label is known to be the motion, or the appearance."""
    measured: tuple[tuple[str, Callable[[RunResults], float | None], str], ...] = (
        ("accuracy", lambda run: value_of(run, "modulated_accuracy", "top1"), "%"),
        ("reversed", lambda run: value_of(run, "modulated_accuracy", "top1", "reverse"), "%"),
        ("shuffled", lambda run: value_of(run, "modulated_accuracy", "top1", "shuffle"), "%"),
        ("log ratio (shuffled)", lambda run: value_of(run, "modulated_accuracy", "log_ratio", "shuffle"), ""),
        ("ASDT, last layer", lambda run: layers(run, "asdt", "asdt")[-1], "weight"),
        ("relative ASDT, last layer", lambda run: layers(run, "asdt", "relative_asdt")[-1], ""),
        ("relative ASDT, last third", lambda run: value_of(run, "asdt", "relative_asdt_last_third"), ""),
        ("temporal channels, last layer", lambda run: layers(run, "self_convolution", "temporal_share")[-1], "%"),
    )
    lines = [f"| label | {' | '.join(name for name, _, _ in measured)} |", "|---" * (len(measured) + 1) + "|"]
    labels = ("motion", "appearance")
    for training, runs in zip(labels, brush(trainings, *labels), strict=True):
        cells = [spread([measure(run) for run in runs], unit) for _, measure, unit in measured]
        lines.append(f"| {training} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table2(trainings: Trainings, appearances: Sequence[int], motions: Sequence[int]) -> str:
    """Table 2: accuracy for numbers of appearance (rows) and motion classes (columns); of the place, of the motion."""
    sizes = [(x, y) for x in appearances for y in motions]
    trained = dict(zip(sizes, places(trainings, *sizes), strict=True))
    head = [f"| A \\ M | {' | '.join(map(str, motions))} |", "|---" * (len(motions) + 1) + "|"]
    lines = ["Joint accuracy (of the place alone, of the motion alone):", "", *head]
    for x in appearances:
        cells = []
        for y in motions:
            joint, place, motion = (
                spread([value_of(run, "factor_errors", f"{part}_accuracy") for run in trained[x, y]], "%")
                for part in ("joint", "appearance", "motion")
            )
            cells.append(f"{joint} ({place}, {motion})" if trained[x, y] else joint)
        lines.append(f"| {x} | {' | '.join(cells)} |")
    rows = [PAPER_GRID_CLASSES.index(count) for count in appearances if count in PAPER_GRID_CLASSES]
    columns = [PAPER_GRID_CLASSES.index(count) for count in motions if count in PAPER_GRID_CLASSES]
    lines += ["", "The same part of the paper's table:", "", *head]
    for row in rows:
        papers = [f"{100 * PAPER_GRID[row, column]:.0f} %" for column in columns]
        lines.append(f"| {PAPER_GRID_CLASSES[row]} | {' | '.join(papers)} |")
    return "\n".join(lines)


def profiles(trainings: Trainings, pfm: tuple[int, int] = (2, 16)) -> str:
    """Figures 8 to 10 and C.15: ASDT and temporal channels over depth, for each way of training on BrushMNIST; and for
    P+F+M where Table 2 has been made."""
    ways = ("joint", "motion", "appearance", "footprint", "random")
    profiled = {f"brush, {way}": runs for way, runs in zip(ways, brush(trainings, *ways), strict=True)}
    if not all(profiled.values()):
        return ""
    name = "pfm_{}_{}".format(*pfm)
    (of_places,) = trainings.finish([run for run in trainings.runs(name) if trainings.study.is_done(run)])
    if of_places:
        profiled["P+F+M_{}_{}".format(*pfm)] = of_places
    matplotlib.use("agg")
    canvas, axes = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    for axis, evaluator, column, label in (
        (axes[0], "asdt", "asdt", "ASDT (weight)"),
        (axes[1], "asdt", "relative_asdt", "relative ASDT"),
        (axes[2], "self_convolution", "temporal_share", "temporal channels (%)"),
    ):
        for name, runs in profiled.items():
            values = np.array([layers(run, evaluator, column) for run in runs])
            depth = np.arange(1, values.shape[1] + 1)
            style = {"linestyle": "--", "color": "gray"} if "random" in name else {"marker": "o"}
            (line,) = axis.plot(depth, values.mean(0), label=name, **style)
            axis.fill_between(depth, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
        axis.set(xlabel="temporal layer, in the order of depth", ylabel=label, xticks=depth)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    canvas.savefig(trainings.study.out / "profiles.png", dpi=110)
    pyplot.close(canvas)
    return "![ASDT and temporal channels over depth, mean and range over seeds](profiles.png)"


#: P+F+M_10_10 with the motion as the label.
CONTEXT = ("DECOUPLED.PLACES", "10", "DECOUPLED.MOTIONS", "10", "DECOUPLED.LABEL", "motion", "BIAS.ENABLE", "False")


def context(trainings: Trainings) -> str:
    """Accuracy in and out of context of networks that learn motions whose place gives them away (rho = 1).

    The first row's network has learnt motion: on BrushMNIST, then over places that say nothing of it.
    """
    brush(trainings, "motion", "appearance")
    (free,) = trainings.finish(trainings.runs("context_free", *CONTEXT, places=True, start="brush_motion"))
    starts = {
        "from random weights": "",
        "fine-tuned from BrushMNIST, appearance": "brush_appearance",
        "fine-tuned from BrushMNIST, motion": "brush_motion",
        "fine-tuned from the first row's": "context_free",
    }
    names = [f"context_from_{start or 'scratch'}" for start in starts.values()]
    tied = (*CONTEXT, "DECOUPLED.RHO", "1.0", "DECOUPLED.CONTEXT")
    inside = trainings.finish(
        *(
            trainings.runs(name, *tied, "in", places=True, start=start)
            for name, start in zip(names, starts.values(), strict=True)
        )
    )
    testing = ("TRAIN.ENABLE", "False")  # TRAIN.CHECKPOINT_FILE_PATH is then what is tested
    outside = trainings.finish(
        *(trainings.runs(f"{name}_out", *tied, "out", *testing, places=True, start=name) for name in names)
    )
    rows = ["| trained with | in context | out of context |", "|---|---|---|"]
    rows.append(f"| rho = 0, after BrushMNIST | {spread(top1(free), '%')} (balanced) | |")
    for what, *both in zip(starts, inside, outside, strict=True):
        rows.append(f"| rho = 1, {what} | {' | '.join(spread(top1(runs), '%') for runs in both)} |")
    return "\n".join(rows)


def top1(runs: Sequence[RunResults]) -> list[float | None]:
    """Video-level accuracies, percent."""
    return [value_of(run, "accuracy", "top1") for run in runs]


def value_of(run: RunResults, evaluator: str, name: str, variant: str = "original") -> float | None:
    """A figure's value, of the video level where there are levels; None where it is undefined."""
    return find_figure(run, evaluator, name, variant, levels=("video", "model")).value


def layers(run: RunResults, evaluator: str, column: str) -> list[float]:
    """A measure of the weights, layer by layer."""
    return [row[column] for row in run.results[evaluator].tables["layers"]]


def spread(values: Sequence[float | None], unit: str) -> str:
    """Mean and range over seeds."""
    known = [value for value in values if value is not None]
    if not known:
        return "undefined" if values else "not run"
    digits = 1 if unit == "%" else 3 if unit == "weight" else 2
    mean, low, high = (
        f"{value:.{digits}f}{' %' if unit == '%' else ''}" for value in (statistics.mean(known), min(known), max(known))
    )
    undefined = f", {len(values) - len(known)} undefined" if len(known) < len(values) else ""
    return mean if len(values) == 1 else f"{mean} ({low} to {high}{undefined})"


PARTS: dict[str, Callable[[Trainings], str]] = {
    "table1": table1,
    "truth": truth,
    "profiles": profiles,
    "context": context,
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "table2"])
    parser.add_argument(
        "--size",
        choices=["small", "long", "paper"],
        default="small",
        help="minutes or hours of two CPU cores, or a GPU",
    )
    parser.add_argument("--appearances", type=int, nargs="+", default=[2, 16], help="rows of Table 2")
    parser.add_argument("--motions", type=int, nargs="+", default=[2, 16], help="columns of Table 2")
    add_arguments(parser, out="runs/temporality", seeds=(0, 1, 2))
    arguments = parser.parse_args(argv)
    trainings = Trainings(study=Study.from_args(arguments), size=arguments.size, seeds=tuple(arguments.seeds))
    for name, text in make(arguments, trainings):
        if not arguments.dry_run:
            (arguments.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
            print(f"\n{name}\n\n{text}", flush=True)
    return 0


def make(arguments: argparse.Namespace, trainings: Trainings) -> Iterator[tuple[str, str]]:
    """(name, Markdown) of each part asked for."""
    for part in arguments.parts:
        if part == "table2":
            yield part, table2(trainings, arguments.appearances, arguments.motions)
        else:
            yield part, PARTS[part](trainings)


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
