"""The temporality study: train what each table and figure needs, then make it from the runs' results.

python projects/temporality/study.py table1 --out runs/temporality --seeds 0 1 2
python projects/temporality/study.py table1 truth table2 profiles context --out runs/temporality

A run whose results are there is not repeated, so an interrupted study goes on where it was. `--dry-run` prints the
commands of the runs that are missing, one a line, for whoever wants to give them to a cluster. Runs that start from the
weights of a missing one are not among them: ask again when it is done.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from pvbias.report.results import FILE_NAME, RunResults, read_results

HERE = Path(__file__).parent

WEIGHTS_EVALUATORS = ("asdt", "self_convolution")
BRUSH_EVALUATORS = (*WEIGHTS_EVALUATORS, "modulated_accuracy", "sample_clips")
JOINT_EVALUATORS = (*BRUSH_EVALUATORS, "factor_errors", "temporal_activation")

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


@dataclass(frozen=True)
class Study:
    """Where the runs are, and how they are made.

    Attributes:
        size: "small" or "paper", the configuration.
        out: folder of the runs and of what is made of them.
        seeds: of the trainings.
        extra: KEY VALUE pairs for every run.
        dry_run: print the commands of missing runs instead of running them.
        printed: the folders of those that have been printed.
    """

    size: str
    out: Path
    seeds: tuple[int, ...]
    extra: tuple[str, ...]
    dry_run: bool
    printed: set[Path] = field(default_factory=set)

    def results(self, name: str, *overrides: str, config: str = "") -> list[RunResults]:
        """The results of a run with each seed; those that are missing are run first."""
        return [found for seed in self.seeds if (found := self._result(name, seed, overrides, config)) is not None]

    def folder(self, name: str, seed: int) -> Path:
        """Where a run's results are."""
        return self.out / f"{name}_seed{seed}"

    def each_seed(self) -> list[Study]:
        """This study with one of the seeds each."""
        return [replace(self, seeds=(seed,)) for seed in self.seeds]

    def _result(self, name: str, seed: int, overrides: Sequence[str], config: str) -> RunResults | None:
        folder = self.folder(name, seed)
        if not (folder / FILE_NAME).exists():
            # Not "python -m": from a clone's folder that finds the clone's pvbias/, which has no pvbias.tools in it.
            command = [str(Path(sysconfig.get_path("scripts")) / "pvbias"), "run"]
            command += ["--cfg", str(HERE / f"{config or self.size}.yaml"), *overrides, *self.extra]
            command += ["RNG_SEED", str(seed), "OUTPUT_DIR", str(folder)]
            if self.dry_run:
                if folder not in self.printed:
                    print(shlex.join(command))
                    self.printed.add(folder)
                return None
            self._run(command, folder)
        return read_results(folder)

    @staticmethod
    def _run(command: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"training {folder} ...", flush=True)
        with open(folder / "log.txt", "w", encoding="utf-8") as log:
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        if code:
            sys.exit(f"{shlex.join(command)}\nended with exit code {code}; see {folder / 'log.txt'}")


def brush(study: Study, training: str) -> list[RunResults]:
    """BrushMNIST, trained in one of the ways that the tables compare."""
    label = "joint" if training in ("footprint", "random") else training  # "random": the same network as "joint"
    options = {
        "joint": (JOINT_EVALUATORS, ()),
        "footprint": (JOINT_EVALUATORS, ("DATA.MODULATION", "footprint_max")),
        "motion": (BRUSH_EVALUATORS, ()),
        "appearance": (BRUSH_EVALUATORS, ()),
        "random": (WEIGHTS_EVALUATORS, ("TRAIN.ENABLE", "False")),
    }
    evaluators, overrides = options[training]
    return study.results(f"brush_{training}", "DECOUPLED.LABEL", label, *evaluating(evaluators), *overrides)


def places(study: Study, appearances: int, motions: int) -> list[RunResults]:
    """P+F+M_x_y with joint labels."""
    options = ("DECOUPLED.PLACES", str(appearances), "DECOUPLED.MOTIONS", str(motions))
    measured = evaluating((*WEIGHTS_EVALUATORS, "factor_errors"))
    return [
        run
        for one in study.each_seed()
        for start in after_brush(one)
        for run in one.results(
            f"pfm_{appearances}_{motions}", *options, *measured, *start, config=f"{study.size}_places"
        )
    ]


def after_brush(study: Study) -> list[tuple[str, str]]:
    """The override that starts a run from the network with this study's one seed that has learnt motion on BrushMNIST;
    empty where that is missing."""
    brush(study, "motion")
    return weights_of(study, "brush_motion")


def weights_of(study: Study, name: str) -> list[tuple[str, str]]:
    """The override that starts a run from another's last checkpoint; empty where it has none."""
    (seed,) = study.seeds
    checkpoints = sorted((study.folder(name, seed) / "checkpoints").glob("*.pyth"))
    return [("TRAIN.CHECKPOINT_FILE_PATH", str(path)) for path in checkpoints[-1:]]


def evaluating(names: Sequence[str]) -> tuple[str, str]:
    """The override that measures these and nothing else."""
    return "BIAS.EVALUATORS", repr(list(names))


def table1(study: Study) -> str:
    """Table 1: errors of the joint classifier, on videos (a) and on their footprints (b), and reversed videos (c)."""
    lines = [
        "| trained and tested on | appearance errors | motion errors | both | paper: appearance, motion, both |",
        "|---|---|---|---|---|",
    ]
    for training, what in (("joint", "(a) videos"), ("footprint", "(b) their footprints")):
        runs = brush(study, training)
        cells = [
            spread([figure(run, "factor_errors", f"{part}_errors") for run in runs], "%")
            for part in ("appearance", "motion", "both")
        ]
        lines.append(f"| {what} | {' | '.join(cells)} | {', '.join(f'{x} %' for x in PAPER_ERRORS[training])} |")
    joint = brush(study, "joint")
    heads = ("(c) videos", "joint accuracy", "motion accuracy", "appearance accuracy", "paper: motion")
    lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for variant, paper in zip(("original", "reverse"), PAPER_ORDER, strict=True):
        cells = [
            spread([figure(run, "factor_errors", f"{part}_accuracy", variant) for run in joint], "%")
            for part in ("joint", "motion", "appearance")
        ]
        lines.append(f"| {variant} | {' | '.join(cells)} | {paper} % |")
    return "\n".join(lines)


def truth(study: Study) -> str:
    """What the measures say of networks whose label is known to be the motion, or the appearance."""
    measured: tuple[tuple[str, Callable[[RunResults], float | None], str], ...] = (
        ("accuracy", lambda run: figure(run, "modulated_accuracy", "top1"), "%"),
        ("reversed", lambda run: figure(run, "modulated_accuracy", "top1", "reverse"), "%"),
        ("shuffled", lambda run: figure(run, "modulated_accuracy", "top1", "shuffle"), "%"),
        ("log ratio (shuffled)", lambda run: figure(run, "modulated_accuracy", "log_ratio", "shuffle"), ""),
        ("ASDT, last layer", lambda run: layers(run, "asdt", "asdt")[-1], "weight"),
        ("relative ASDT, last layer", lambda run: layers(run, "asdt", "relative_asdt")[-1], ""),
        ("relative ASDT, last third", lambda run: figure(run, "asdt", "relative_asdt_last_third"), ""),
        ("temporal channels, last layer", lambda run: layers(run, "self_convolution", "temporal_share")[-1], "%"),
    )
    lines = [f"| label | {' | '.join(name for name, _, _ in measured)} |", "|---" * (len(measured) + 1) + "|"]
    for training in ("motion", "appearance"):
        runs = brush(study, training)
        cells = [spread([measure(run) for run in runs], unit) for _, measure, unit in measured]
        lines.append(f"| {training} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table2(study: Study, appearances: Sequence[int], motions: Sequence[int]) -> str:
    """Table 2: accuracy for numbers of appearance (rows) and motion classes (columns)."""
    lines = [f"| A \\ M | {' | '.join(map(str, motions))} |", "|---" * (len(motions) + 1) + "|"]
    for places_count in appearances:
        cells = [
            spread([figure(run, "accuracy", "top1") for run in places(study, places_count, count)], "%")
            for count in motions
        ]
        lines.append(f"| {places_count} | {' | '.join(cells)} |")
    rows = [PAPER_GRID_CLASSES.index(count) for count in appearances if count in PAPER_GRID_CLASSES]
    columns = [PAPER_GRID_CLASSES.index(count) for count in motions if count in PAPER_GRID_CLASSES]
    lines += ["", "The same part of the paper's table:", "", lines[0], lines[1]]
    for row in rows:
        cells = [f"{100 * PAPER_GRID[row, column]:.0f} %" for column in columns]
        lines.append(f"| {PAPER_GRID_CLASSES[row]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def profiles(study: Study, pfm: tuple[int, int] = (8, 16)) -> str:
    """Figures 8 to 10 and C.15: ASDT and temporal channels over depth, for each way of training."""
    ways = ("joint", "motion", "appearance", "footprint", "random")
    trainings = {f"brush, {name}": brush(study, name) for name in ways}
    trainings["P+F+M_{}_{}".format(*pfm)] = places(study, *pfm)
    if not all(trainings.values()):
        return ""
    matplotlib.use("agg")
    canvas, axes = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    for axis, evaluator, column, label in (
        (axes[0], "asdt", "asdt", "ASDT (weight)"),
        (axes[1], "asdt", "relative_asdt", "relative ASDT"),
        (axes[2], "self_convolution", "temporal_share", "temporal channels (%)"),
    ):
        for name, runs in trainings.items():
            values = np.array([layers(run, evaluator, column) for run in runs])
            depth = np.arange(1, values.shape[1] + 1)
            style = {"linestyle": "--", "color": "gray"} if "random" in name else {"marker": "o"}
            (line,) = axis.plot(depth, values.mean(0), label=name, **style)
            axis.fill_between(depth, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
        axis.set(xlabel="temporal layer, in the order of depth", ylabel=label, xticks=depth)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    study.out.mkdir(parents=True, exist_ok=True)
    canvas.savefig(study.out / "profiles.png", dpi=110)
    pyplot.close(canvas)
    return f"![ASDT and temporal channels over depth, mean and range over seeds]({study.out / 'profiles.png'})"


#: P+F+M_10_10 with the motion as the label.
CONTEXT = ("DECOUPLED.PLACES", "10", "DECOUPLED.MOTIONS", "10", "DECOUPLED.LABEL", "motion", "BIAS.ENABLE", "False")


def context(study: Study) -> str:
    """Accuracy in and out of context of networks that learn motions whose place gives them away (rho = 1).

    The first row's network has learnt motion: on BrushMNIST, then over places that say nothing of it.
    """
    free = [run for one in study.each_seed() for run in untied(one)]
    rows = ["| trained with | in context | out of context |", "|---|---|---|"]
    rows.append(f"| rho = 0, after BrushMNIST | {spread(top1(free), '%')} (balanced) | |")
    for what, start in (
        ("rho = 1, from random weights", ""),
        ("rho = 1, fine-tuned from BrushMNIST", "brush_motion"),
        ("rho = 1, fine-tuned from the first row's", "context_free"),
    ):
        pairs = [tied(one, start) for one in study.each_seed()]
        cells = [spread(top1([run for pair in pairs for run in pair[side]]), "%") for side in (0, 1)]
        rows.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def untied(study: Study) -> list[RunResults]:
    """A network with one seed that knows the motions of P+F+M_10_10 whatever the place."""
    return [
        run
        for start in after_brush(study)
        for run in study.results("context_free", *CONTEXT, *start, config=f"{study.size}_places")
    ]


def tied(study: Study, start: str) -> tuple[list[RunResults], list[RunResults]]:
    """A network trained with rho = 1 and one seed from the weights of another run (empty: random ones), measured in
    context and out of context."""
    name = f"context_from_{start or 'scratch'}"
    options = (*CONTEXT, "DECOUPLED.RHO", "1.0", "DECOUPLED.CONTEXT")
    config = f"{study.size}_places"
    inside, outside = [], []
    for weights in weights_of(study, start) if start else [()]:
        inside += study.results(name, *options, "in", *weights, config=config)
        for _, trained in weights_of(study, name):
            testing = ("TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", trained)
            outside += study.results(f"{name}_out", *options, "out", *testing, config=config)
    return inside, outside


def top1(runs: Sequence[RunResults]) -> list[float | None]:
    """Video-level accuracies, percent."""
    return [figure(run, "accuracy", "top1") for run in runs]


def figure(run: RunResults, evaluator: str, name: str, variant: str = "original") -> float | None:
    """A figure's value, of the video level where there are levels; None where it is undefined."""
    for found in run.results[evaluator].figures:
        if found.name == name and found.variant == variant and found.level in ("video", "model"):
            return found.value
    sys.exit(f"{run.name} has no figure {name} ({variant}) of {evaluator}")


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


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["table1", "truth", "table2", "profiles", "context"])
    parser.add_argument("--size", choices=["small", "paper"], default="small", help="two CPU cores, or a GPU")
    parser.add_argument("--out", type=Path, default=Path("runs/temporality"), help="folder of the runs and tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--appearances", type=int, nargs="+", default=[2, 4, 8, 16], help="rows of Table 2")
    parser.add_argument("--motions", type=int, nargs="+", default=[2, 4, 8, 16], help="columns of Table 2")
    parser.add_argument("--dry-run", action="store_true", help="print the commands of missing runs")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="configuration of every run")
    arguments = parser.parse_args(argv)
    study = Study(arguments.size, arguments.out, tuple(arguments.seeds), tuple(arguments.set), arguments.dry_run)
    for name, text in make(arguments, study):
        if not study.dry_run:
            study.out.mkdir(parents=True, exist_ok=True)
            (study.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
            print(f"\n{name}\n\n{text}", flush=True)
    return 0


def make(arguments: argparse.Namespace, study: Study) -> Iterator[tuple[str, str]]:
    """(name, Markdown) of each part asked for."""
    for part in arguments.parts:
        if part == "table2":
            yield part, table2(study, arguments.appearances, arguments.motions)
        else:
            yield part, {"table1": table1, "truth": truth, "profiles": profiles, "context": context}[part](study)


if __name__ == "__main__":
    sys.exit(main())
