"""The runs of the paper's tables: train what each table needs, then put what came out beside the paper's figures.

python projects/drl/study.py table2 --data videos --out runs/drl
python projects/drl/study.py table3 --data videos --weights kinetics_r3d_18_drl_freeze=mine.pyth
python projects/drl/study.py table2 table3 table5 --data videos --out runs/drl --dry-run
python projects/drl/study.py table3                                # of the runs that are there

`--data` has one folder a data set: `kinetics`, `minikinetics`, `ucf101`, `hmdb51`, `diving48`, `mimetics`,
`something_v2`, `jester`, each with its `train.csv` and `test.csv`; without it nothing is run. A run is one file,
`run.yaml` in its folder, put together from those of this project. `--weights` takes the place of pre-trainings: such
weights are tested, and transferred.

A run whose results are there is not repeated, so an interrupted study goes on where it was. `--dry-run` starts nothing:
it writes the runs' files and prints their commands, one a line, for whoever wants to give them to a cluster. Runs that
start from the weights of a missing one are not among them: ask again when it is done.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import yaml
from matplotlib import pyplot

from pvbias.config import load_cfg
from pvbias.report.results import FILE_NAME, RunResults, read_results
from pvbias.run.study import Run, Study, add_arguments, figure_value
from pvbias.run.study_tables import (
    Pair,
    StudyTables,
    add_data_arguments,
    read_weights,
    side_by_side,
    spread,
    write_tables,
)
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

METHODS = {
    "baseline": "Baseline",
    "drl_fgsm": "DRL FGSM, epsilon = 8",
    "drl_pgd": "DRL PGD, epsilon = 8",
    "drl_distill": "DRL Distill, lambda = 0.5",
    "drl_freeze": "DRL Freeze, lambda = 0.5",
    "drl_shuffle": "DRL Shuffle, lambda = 0.5",
}
#: What the paper calls DRL where it names no variant.
DRL = "drl_freeze"

MODELS = {
    "r3d_18": "3D ResNet-18",
    "r3d_50": "3D ResNet-50",
    "tsm_r18": "TSM ResNet-18",
    "tsm_r50": "TSM ResNet-50",
}

#: Paper, Table 2, nats: distilled, freeze and shuffle score.
PAPER_SCORES = {
    "baseline": (0.33, 1.06, 0.74),
    "drl_fgsm": (0.45, 1.25, 0.88),
    "drl_pgd": (0.45, 1.26, 0.89),
    "drl_distill": (0.61, 1.79, 1.29),
    "drl_freeze": (0.62, 2.21, 1.70),
    "drl_shuffle": (0.54, 1.26, 1.23),
}
#: Paper, Table 3: accuracy on Kinetics (percent) and dynamic score (nats) of what transfer starts from.
PAPER_PRETRAINING = {
    ("r3d_18", "baseline"): (56.40, 0.81),
    ("r3d_18", DRL): (53.32, 1.34),
    ("r3d_50", "baseline"): (62.04, 0.68),
    ("r3d_50", DRL): (59.92, 1.63),
    ("tsm_r18", "baseline"): (64.55, 0.47),
    ("tsm_r18", DRL): (62.20, 1.46),
    ("tsm_r50", "baseline"): (71.19, 0.45),
    ("tsm_r50", DRL): (68.75, 0.96),
}
#: Paper, Table 3, percent: UCF-101, HMDB-51, Diving-48. "none": from random weights (3D) or ImageNet's (TSM).
PAPER_LINEAR = {
    ("r3d_18", "baseline"): (83.27, 52.29, 9.95),
    ("r3d_18", DRL): (84.30, 55.23, 11.32),
    ("r3d_50", "baseline"): (87.23, 59.54, 16.29),
    ("r3d_50", DRL): (88.24, 61.83, 16.55),
    ("tsm_r18", "none"): (62.75, 36.14, 9.29),
    ("tsm_r18", "baseline"): (73.83, 46.73, 12.49),
    ("tsm_r18", DRL): (77.13, 50.78, 13.40),
    ("tsm_r50", "none"): (66.98, 37.58, 10.96),
    ("tsm_r50", "baseline"): (82.13, 54.64, 17.01),
    ("tsm_r50", DRL): (84.91, 58.04, 22.34),
}
PAPER_FINETUNE = {
    ("r3d_18", "none"): (59.08, 24.12, 47.82),
    ("r3d_18", "baseline"): (87.34, 61.24, 61.22),
    ("r3d_18", DRL): (87.36, 63.59, 63.15),
    ("r3d_50", "none"): (46.55, 20.00, 33.96),
    ("r3d_50", "baseline"): (89.21, 64.58, 67.92),
    ("r3d_50", DRL): (90.88, 64.64, 68.83),
    ("tsm_r18", "none"): (82.55, 51.90, 71.07),
    ("tsm_r18", "baseline"): (92.23, 64.64, 72.74),
    ("tsm_r18", DRL): (91.25, 65.49, 73.96),
    ("tsm_r50", "none"): (87.02, 55.36, 74.97),
    ("tsm_r50", "baseline"): (95.14, 69.41, 77.56),
    ("tsm_r50", DRL): (95.03, 72.29, 79.04),
}
TARGETS = {"ucf101": "UCF-101", "hmdb51": "HMDB-51", "diving48": "Diving-48"}
#: Paper, Table 6: dynamic score (nats), then percent: Kinetics, and the linear evaluations of TARGETS.
PAPER_TWO_STREAM = {"baseline": (0.289, 55.78, 84.35, 55.75, 10.30), DRL: (0.421, 54.76, 84.30, 57.06, 12.34)}
TWO_STREAM = "two_stream_r18"
#: Paper, Figure 4: methods, and weights of the dynamic score between cross-entropy's 0 and the largest.
SWEPT = {"drl_distill": "DRL Distill", "drl_freeze": "DRL Freeze", "drl_shuffle": "DRL Shuffle"}
LAMBDAS = (0.25, 0.5, 0.75, 1.0)
#: Paper, Table 4, percent: 5-way accuracy, 1-shot and 5-shot, on each of FEW_SHOT_TARGETS.
PAPER_FEW_SHOT = {
    ("r3d_18", "baseline"): (30.34, 40.72, 27.42, 39.12),
    ("r3d_18", DRL): (31.24, 43.46, 31.79, 44.60),
    ("r3d_50", "baseline"): (31.79, 44.40, 27.90, 43.01),
    ("r3d_50", DRL): (33.85, 46.75, 33.24, 47.58),
    ("tsm_r18", "baseline"): (30.96, 41.67, 28.21, 39.07),
    ("tsm_r18", DRL): (31.90, 44.00, 32.44, 47.00),
    ("tsm_r50", "baseline"): (31.32, 42.29, 27.38, 38.71),
    ("tsm_r50", DRL): (32.28, 45.02, 31.85, 47.04),
}
FEW_SHOT_TARGETS = {"something_v2": "Sth-Sth v2", "jester": "Jester"}
SHOTS = (1, 5)
#: Paper, Table 5, percent: 3D ResNet-18, 10 classes of Mimetics; methods by name.
PAPER_MIMETICS: dict[str, tuple[str, float]] = {
    "Baseline": ("baseline", 18.9),
    "Learned-Mixin": ("learned_mixin", 11.4),
    "RUBi": ("rubi", 13.4),
    "ReBias": ("rebias", 22.4),
    "DRL": (DRL, 26.4),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training, or one test of what another has trained.

    Attributes:
        name: of its folder.
        schedule: ``<data set>/<file>`` in this project.
        model: in ``models/``.
        method: in ``methods/``.
        start: the stage whose last weights it starts from; None: what the model's file says.
        keys: more of the configuration.
        weight: of the dynamic score, DRL.LAMBDA, where several are tried, as runs of one sweep (`pvbias submit
            --sweep`); None: the method's.
    """

    name: str
    schedule: str
    model: str
    method: str = "baseline"
    start: Stage | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    weight: float | None = None

    def folder(self, seed: int) -> str:
        """The folder of its run; that of a sweep is named as `pvbias submit --sweep` does."""
        if self.weight is None:
            return f"{self.name}_seed{seed}"
        return f"{self.name}/DRL.LAMBDA={self.weight:g},RNG_SEED={seed}"


def pretraining(model: str, method: str) -> Stage:
    """Kinetics. 3D ResNets start from random weights; TSM starts from ImageNet's and has the schedule for that."""
    stage = "finetune" if model.startswith("tsm") else "pretrain"
    return Stage(name=f"kinetics_{model}_{method}", schedule=f"kinetics/{stage}", model=model, method=method)


def linear(target: str, start: Stage, after: str) -> Stage:
    """Linear evaluation of what a stage has trained; ``after``: what to call that."""
    name = f"{target}_linear_{start.model}_after_{after}"
    return Stage(name=name, schedule=f"{target}/linear", model=start.model, start=start)


def transfer(target: str, stage: str, model: str, start: str) -> Stage:
    """Linear evaluation or fine-tuning of what was pre-trained with a method, or of a network that was not ("none")."""
    name = f"{target}_{stage}_{model}_after_{start}"
    if start == "none":
        schedule = "pretrain" if model.startswith("r3d") else stage
        return Stage(name=name, schedule=f"{target}/{schedule}", model=model)
    return Stage(name=name, schedule=f"{target}/{stage}", model=model, start=pretraining(model, start))


class Tables(StudyTables):
    """The runs of the paper's tables, by what they are made from."""

    def results(self, stage: Stage) -> list[RunResults]:
        """The results of a stage with each seed; what is missing is run first, what it starts from before it."""
        if self.data is None:
            return self.study.finish([run for seed in self.seeds if self.study.is_done(run := self._run(stage, seed))])
        missing = tuple(seed for seed in self.seeds if not self.study.is_done(self._run(stage, seed)))
        if stage.start and missing and stage.start.name not in self.weights:
            replace(self, seeds=missing).results(stage.start)
        ready = [seed for seed in self.seeds if seed not in missing or not stage.start or self._weights(stage, seed)]
        for seed in ready:
            if seed in missing:
                self._write(stage, seed)
        return self.study.finish([self._run(stage, seed) for seed in ready])

    def few_shot(self, start: Stage, target: str) -> list[RunResults]:
        """Few-shot episodes on a data set of the features of what a stage has trained, by seed: its videos go through
        the network once (``pvbias features``)."""
        self.results(start)
        found = []
        for seed in self.seeds:
            run = self._run(start, seed)
            name = f"{target}_{run.name}_seed{seed}"
            features, record = self.study.out / "features" / name, self.study.out / "few_shot" / name
            if self.data and self.study.is_done(run):
                videos = self.data.resolve() / target
                extracting = ("features", str(self.study.folder(run)), "--data", str(videos / "test.csv"))
                extracting += ("--path-prefix", str(videos), "--out", str(features))
                self.study.produce(features / "features.json", *extracting)
                episodes = ("transfer", "few-shot", str(features), "--classifier", "baseline", "--ways", "5")
                episodes += ("--shots", *map(str, SHOTS), "--name", run.name, "--out", str(record))
                self.study.produce(record / FILE_NAME, *episodes)
            if (record / FILE_NAME).exists():
                found.append(read_results(record))
        return found

    def _run(self, stage: Stage, seed: int) -> Run:
        folder = stage.folder(seed)
        config = self.study.out / (folder if stage.weight is None else stage.name) / "run.yaml"
        keys = () if stage.weight is None else ("DRL.LAMBDA", f"{stage.weight:g}")
        return Run(name=stage.name, seed=seed, config=config, overrides=keys, folder=folder)

    def _weights(self, stage: Stage, seed: int) -> str:
        """What a stage starts from; empty where it is not there yet."""
        if not stage.start:
            return ""
        return self.weights.get(stage.start.name) or self.study.checkpoint(self._run(stage.start, seed))

    def _write(self, stage: Stage, seed: int) -> None:
        """Put a run's configuration together."""
        assert self.data is not None
        folder = self.data.resolve() / stage.schedule.split("/")[0]
        flow = {"FLOW_DIR": str(folder / "flow")} if stage.model == TWO_STREAM else {}
        parts = (f"{stage.schedule}.yaml", f"models/{stage.model}.yaml", f"methods/{stage.method}.yaml")
        tree: dict[str, Any] = {
            "_BASE_": [str(HERE / part) for part in parts],
            "DATA": {"PATH_TO_DATA_DIR": str(folder), **flow},
            "SOLVER": {"BASE_LR": learning_rate(stage.schedule, stage.model)},
            **stage.keys,
        }
        if stage.start:
            tree["TRAIN"] = {"CHECKPOINT_FILE_PATH": self._weights(stage, seed)}
        elif stage.name in self.weights:
            tree["TRAIN"] = {"CHECKPOINT_FILE_PATH": self.weights[stage.name], "ENABLE": False}
        path = self._run(stage, seed).config
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


@functools.cache
def learning_rate(schedule: str, model: str) -> float:
    """The schedule's rate, in proportion to the model's mini-batch."""
    cfg = load_cfg(HERE / f"{schedule}.yaml")
    options = yaml.safe_load((HERE / "models" / f"{model}.yaml").read_text(encoding="utf-8"))
    return cfg.SOLVER.BASE_LR * options.get("TRAIN", {}).get("BATCH_SIZE", cfg.TRAIN.BATCH_SIZE) / cfg.TRAIN.BATCH_SIZE


def table2(tables: Tables) -> str:
    """Dynamic scores of 3D ResNet-18 on miniKinetics."""
    measured = {"BIAS": {"EVALUATORS": ["dynamic_score", "dynamic_score_distill"]}}
    rows: dict[str, list[Pair]] = {}
    for method, paper in PAPER_SCORES.items():
        name = f"minikinetics_r3d_18_{method}"
        stage = Stage(name=name, schedule="minikinetics/pretrain", model="r3d_18", method=method, keys=measured)
        found = tables.results(stage)
        ours = [[dynamic_score(each, variant) for each in found] for variant in ("distill", "freeze_random", "shuffle")]
        rows[METHODS[method]] = list(zip(paper, ours, strict=True))
    return side_by_side("method", ("Distill", "Freeze", "Shuffle"), rows)


def table3(tables: Tables) -> str:
    """Pre-training on Kinetics, then linear evaluation and fine-tuning."""
    rows: dict[str, list[Pair]] = {}
    for (model, method), paper in PAPER_PRETRAINING.items():
        found = tables.results(pretraining(model, method))
        ours = ([top1(each) for each in found], [dynamic_score(each, "freeze_random") for each in found])
        rows[_row(model, method)] = list(zip(paper, ours, strict=True))
    parts = ["Pre-training:", side_by_side("model, method", ("Kinetics acc. (%)", "dynamic score"), rows)]
    for stage, title, table in (
        ("linear", "Linear evaluation (%):", PAPER_LINEAR),
        ("finetune", "Fine-tuning (%):", PAPER_FINETUNE),
    ):
        rows = {
            _row(model, start): [
                (paper, [top1(each) for each in tables.results(transfer(target, stage, model, start))])
                for target, paper in zip(TARGETS, papers, strict=True)
            ]
            for (model, start), papers in table.items()
        }
        parts += [title, side_by_side("model, pre-training", tuple(TARGETS.values()), rows)]
    return "\n\n".join(parts)


def _row(model: str, start: str) -> str:
    """What the paper calls a network of Table 3."""
    names = {"none": "ImageNet" if model.startswith("tsm") else "Scratch", "baseline": "Baseline", DRL: "DRL"}
    return f"{MODELS[model]}, {names[start]}"


def table4(tables: Tables) -> str:
    """Cross-domain few-shot recognition: 5-way accuracy of a linear classifier of each episode's own."""
    rows: dict[str, list[Pair]] = {}
    for (model, method), paper in PAPER_FEW_SHOT.items():
        start = pretraining(model, method)
        ours = [
            [figure_value(each, "transfer", f"5way_{shots}shot", levels=("video",)) for each in found]
            for found in [tables.few_shot(start, target) for target in FEW_SHOT_TARGETS]
            for shots in SHOTS
        ]
        rows[_row(model, method)] = list(zip(paper, ours, strict=True))
    columns = [f"{name}, {shots}-shot (%)" for name in FEW_SHOT_TARGETS.values() for shots in SHOTS]
    return side_by_side("model, pre-training", columns, rows)


def table5(tables: Tables) -> str:
    """Domain generalisation: Mimetics, of what 3D ResNet-18 has learnt on Kinetics."""
    rows: dict[str, list[Pair]] = {}
    for name, (method, paper) in PAPER_MIMETICS.items():
        start = pretraining("r3d_18", method)
        tested = Stage(name=f"mimetics_r3d_18_{method}", schedule="mimetics/test", model="r3d_18", start=start)
        rows[name] = [(paper, [top1(each) for each in tables.results(tested)])]
    return side_by_side("method", ("accuracy (%)",), rows, digits=1)


def table6(tables: Tables) -> str:
    """A two-stream network: pre-training on Kinetics, then linear evaluation."""
    rows: dict[str, list[Pair]] = {}
    for method, paper in PAPER_TWO_STREAM.items():
        start = pretraining(TWO_STREAM, method)
        found = tables.results(start)
        ours = [[dynamic_score(each, "freeze_random") for each in found], [top1(each) for each in found]]
        ours += [[top1(each) for each in tables.results(linear(target, start, method))] for target in TARGETS]
        rows["Baseline" if method == "baseline" else "DRL"] = list(zip(paper, ours, strict=True))
    columns = ("dynamic score", "Kinetics acc. (%)", *(f"{name} (%)" for name in TARGETS.values()))
    return side_by_side("method", columns, rows, digits=(3, 2, 2, 2, 2))


def figure4(tables: Tables) -> str:
    """Linear evaluation of 3D ResNet-18 pre-trained on miniKinetics with several weights of the dynamic score."""
    schedule = "minikinetics/pretrain"
    baseline = Stage(name="minikinetics_r3d_18_baseline", schedule=schedule, model="r3d_18")
    reached = {0.0: _linear_accuracies(tables, baseline, "minikinetics_baseline")}
    curves: dict[str, dict[float, list[list[float]]]] = {}
    for method in SWEPT:
        curves[method] = dict(reached)
        for weight in LAMBDAS:
            start = Stage(name=f"figure4_{method}", schedule=schedule, model="r3d_18", method=method, weight=weight)
            curves[method][weight] = _linear_accuracies(tables, start, f"minikinetics_{method}_lambda{weight:g}")
    lines = [f"| method, lambda | {' | '.join(f'{name} (%)' for name in TARGETS.values())} |", "|---" * 4 + "|"]
    lines += [
        f"| {SWEPT[method]}, {weight:g} | {' | '.join(spread(values, 2) for values in accuracies)} |"
        for method, points in curves.items()
        for weight, accuracies in points.items()
    ]
    if any(values for points in curves.values() for accuracies in points.values() for values in accuracies):
        draw_curves(tables.study.out / "figure4.png", curves)
        lines += ["", "![linear evaluation against lambda](figure4.png)"]
    return "\n".join(lines)


def _linear_accuracies(tables: Tables, start: Stage, after: str) -> list[list[float]]:
    """Percent, for each of TARGETS and seed."""
    tables.results(start)
    return [[top1(each) for each in tables.results(linear(target, start, after))] for target in TARGETS]


def draw_curves(path: Path, curves: Mapping[str, Mapping[float, Sequence[Sequence[float]]]]) -> None:
    """Draw Figure 4: a panel a target, accuracy against lambda; lines are means over seeds, dots the seeds."""
    matplotlib.use("agg")
    canvas, axes = pyplot.subplots(1, len(TARGETS), figsize=(13, 4), layout="constrained")
    for number, (axis, title) in enumerate(zip(axes, TARGETS.values(), strict=True)):
        for colour, (method, points) in enumerate(curves.items()):
            there = {weight: accuracies[number] for weight, accuracies in points.items() if accuracies[number]}
            axis.plot(list(there), [sum(each) / len(each) for each in there.values()], label=SWEPT[method])
            for weight, each in there.items():
                axis.plot([weight] * len(each), each, ".", color=f"C{colour}")
        axis.set(title=title, xlabel="lambda (0: cross-entropy)", ylabel="linear evaluation (%)")
    axes[0].legend()
    canvas.savefig(path, dpi=110)
    pyplot.close(canvas)


def top1(run: RunResults) -> float:
    """Accuracy, percent: of the class probabilities averaged over a video's clips."""
    return figure_value(run, "accuracy", "top1", levels=("video",))


def dynamic_score(run: RunResults, variant: str) -> float:
    """Eq. 2 or eq. 4, nats: the expectation over clips."""
    evaluator = "dynamic_score_distill" if variant == "distill" else "dynamic_score"
    return figure_value(run, evaluator, "dynamic_score", variant)


TABLES: dict[str, Callable[[Tables], str]] = {
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "figure4": figure4,
}
#: The pre-trainings that weights may take the place of.
PRETRAININGS = list(
    dict.fromkeys(
        pretraining(*key).name
        for key in (
            *PAPER_PRETRAINING,
            *((TWO_STREAM, key) for key in PAPER_TWO_STREAM),
            *(("r3d_18", method) for method, _ in PAPER_MIMETICS.values()),
        )
    )
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=TABLES)
    add_data_arguments(parser)
    add_arguments(parser, out="runs/drl", seeds=(0,))
    arguments = parser.parse_args(argv)
    study = Study.from_args(arguments)
    weights = read_weights(arguments.weights, PRETRAININGS)
    tables = Tables(study=study, data=arguments.data, seeds=tuple(arguments.seeds), weights=weights)
    write_tables(study, {name: functools.partial(TABLES[name], tables) for name in arguments.tables})
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
