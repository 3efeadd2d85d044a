"""Out of context: what is left of a recognizer's accuracy where appearance no longer gives the answer away, by method.

python projects/drl/out_of_context/study.py --out runs/out_of_context --jobs 2
python projects/drl/out_of_context/study.py --out runs/out_of_context --quick

trains what is missing and writes `report.html` below `--out`; a run whose results are there is not repeated.
`--dry-run` prints the commands of the runs that can be made now, one a line.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from matplotlib import pyplot

from pvbias.run.study import Run, Study, add_arguments, figure_value, interval, start, text, verdict
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

METHODS = {
    "CrossEntropy": ("OBJECTIVE.NAME", "CrossEntropy"),
    "DRL FGSM": ("OBJECTIVE.NAME", "DRLAdversarial", "DRL.ATTACK", "fgsm"),
    "DRL PGD": ("OBJECTIVE.NAME", "DRLAdversarial", "DRL.ATTACK", "pgd"),
    "DRL Distill": ("OBJECTIVE.NAME", "DRLDistill"),
    "DRL Freeze": ("OBJECTIVE.NAME", "DRLFreeze"),
    "DRL Shuffle": ("OBJECTIVE.NAME", "DRLShuffle"),
}
BASELINE = "CrossEntropy"
#: Correlations of place and motion that all methods are compared at, and those of the sweep.
FULL, RHOS = 1.0, (0.8, 0.5)
#: The methods of the sweep over correlations, and the weights of the dynamic score that Freeze is tried with.
SWEPT, LAMBDAS = (BASELINE, "DRL Distill", "DRL Freeze"), (1.0, 2.0)
DEFAULT_LAMBDA = 0.5
#: ``--quick``: trainings of half the length, and shorter.
QUICK_BRUSH = ("SOLVER.MAX_EPOCH", "0.5", "SOLVER.WARMUP_EPOCHS", "0.05")
QUICK_TUNED = ("SOLVER.MAX_EPOCH", "1.0", "STUDENT.SOLVER.MAX_EPOCH", "2.0", "DECOUPLED.TEST_VIDEOS", "200")

#: Measured in context, beside accuracy: (what readers call it, evaluator, figure, variant).
SCORES = (
    ("Distill", "dynamic_score_distill", "dynamic_score", "distill"),
    ("Freeze", "dynamic_score", "dynamic_score", "freeze_middle"),
    ("Shuffle", "dynamic_score", "dynamic_score", "shuffle"),
)
#: Paper, Table 2: 3D ResNet-18, miniKinetics.
PAPER_SCORES = {
    "CrossEntropy": (0.33, 1.06, 0.74),
    "DRL FGSM": (0.45, 1.25, 0.88),
    "DRL PGD": (0.45, 1.26, 0.89),
    "DRL Distill": (0.61, 1.79, 1.29),
    "DRL Freeze": (0.62, 2.21, 1.70),
    "DRL Shuffle": (0.54, 1.26, 1.23),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way of fine-tuning.

    Attributes:
        method: in METHODS.
        rho: how far the place gives the motion away, [0, 1].
        weight: of the dynamic score, lambda.
    """

    method: str
    rho: float = FULL
    weight: float = DEFAULT_LAMBDA

    @property
    def name(self) -> str:
        """Of its runs."""
        method = self.method.lower().replace(" ", "_")
        return f"{method}_rho{self.rho:g}" + (f"_lambda{self.weight:g}" if self.weight != DEFAULT_LAMBDA else "")

    @property
    def overrides(self) -> tuple[str, ...]:
        """Its configuration."""
        # A student costs as much as a fine-tuning: only where the methods are compared.
        distilled = ["dynamic_score_distill"] if self == Setting(method=self.method) else []
        measured = ["dynamic_score", *distilled]
        keys = ("DECOUPLED.RHO", str(self.rho), "DRL.LAMBDA", str(self.weight), "BIAS.EVALUATORS", repr(measured))
        return (*METHODS[self.method], *keys)


#: Figures of each seed by setting: "in", "out" (percent) and the names of SCORES (nats).
Measured = dict[Setting, dict[str, list[float]]]


def measure(study: Study, seeds: Sequence[int], settings: Sequence[Setting], *, quick: bool) -> Measured:
    """Pre-train, fine-tune in each of these ways, test in and out of context; what is missing of it."""
    options = QUICK_BRUSH if quick else ()
    brush = [Run(name="brush", seed=seed, config=HERE / "brush.yaml", overrides=options) for seed in seeds]
    study.make(brush)
    options = QUICK_TUNED if quick else ()
    tuned = {
        (setting, run.seed): Run(
            name=setting.name,
            seed=run.seed,
            config=HERE / "tuned.yaml",
            overrides=(*options, *setting.overrides, *start(study.checkpoint(run))),
        )
        for setting, run in product(settings, brush)
        if study.checkpoint(run)
    }
    inside = dict(zip(tuned, study.finish(list(tuned.values())), strict=False))
    tested = {
        key: replace(
            run,
            name=f"{run.name}_out",
            overrides=(
                *("DECOUPLED.CONTEXT", "out", "TRAIN.ENABLE", "False", "BIAS.ENABLE", "False"),
                *start(study.checkpoint(run)),
            ),
        )
        for key, run in tuned.items()
        if study.checkpoint(run)
    }
    outside = dict(zip(tested, study.finish(list(tested.values())), strict=False))
    if study.dry_run:
        return {}
    measured: Measured = {}
    for setting, seed in tuned:
        figures = {"in": figure_value(inside[setting, seed], "accuracy", "top1")}
        figures["out"] = figure_value(outside[setting, seed], "accuracy", "top1")
        for name, evaluator, score, variant in SCORES:
            if evaluator in inside[setting, seed].results:
                figures[name] = figure_value(inside[setting, seed], evaluator, score, variant)
        for name, value in figures.items():
            measured.setdefault(setting, {}).setdefault(name, []).append(value)
    return measured


def methods_table(measured: Measured) -> list[list[str]]:
    """Rows: method, in context, out of context, its difference to the baseline seed by seed, the three scores, and the
    paper's."""
    baseline = measured[Setting(method=BASELINE)]["out"]
    rows = []
    for method in METHODS:
        setting = Setting(method=method)
        if setting not in measured:
            continue
        figures = measured[setting]
        gained = [ours - theirs for ours, theirs in zip(figures["out"], baseline, strict=True)]
        scores = [text(figures[name], 2) if name in figures else "" for name, *_ in SCORES]
        rows.append(
            [
                method,
                text(figures["in"], 1),
                text(figures["out"], 1),
                "" if method == BASELINE else text(gained, 1, sign="+"),
                *scores,
                " / ".join(f"{value:.2f}" for value in PAPER_SCORES[method]),
            ]
        )
    return rows


def verdicts(measured: Measured) -> list[str]:
    """What the differences to the baseline out of context allow to say of each method."""
    baseline = measured[Setting(method=BASELINE)]["out"]
    sentences = []
    for method in METHODS:
        if method == BASELINE or Setting(method=method) not in measured:
            continue
        values = measured[Setting(method=method)]["out"]
        gained = [ours - theirs for ours, theirs in zip(values, baseline, strict=True)]
        sentences.append(f"{method}: {np.mean(gained):+.1f} points: {verdict(gained)}.")
    return sentences


def sweep_plot(measured: Measured) -> str:
    """Accuracy in and out of context against the correlation, as SVG."""
    canvas, axis = pyplot.subplots(figsize=(6.5, 4), layout="constrained")
    for number, method in enumerate(METHODS):
        settings = sorted((s for s in measured if s == Setting(method=method, rho=s.rho)), key=lambda s: s.rho)
        if len(settings) < 2:
            continue
        for side, style in (("in", ":"), ("out", "-")):
            rhos, seeds = [setting.rho for setting in settings], np.array([measured[s][side] for s in settings])
            axis.plot(rhos, seeds.mean(1), style, color=f"C{number}", label=method if side == "out" else None)
            axis.plot(rhos, seeds, "o", color=f"C{number}", markersize=3, alpha=0.6)
    axis.set(xlabel="correlation of place and motion in training (rho)", ylabel="accuracy (%); dotted: in context")
    axis.grid(alpha=0.3)
    axis.legend()
    return svg(canvas)


def lambda_plot(measured: Measured) -> str:
    """DRL Freeze: what is gained over cross-entropy, seed by seed, against lambda, as SVG: accuracy out of context and
    freeze score."""
    canvas, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    freeze = {s.weight: measured[s] for s in measured if s == Setting(method="DRL Freeze", weight=s.weight)}
    points = {0.0: measured[Setting(method=BASELINE)], **dict(sorted(freeze.items()))}
    shown = (("out", "accuracy out of context, gained (points)"), ("Freeze", "freeze score, gained (nats)"))
    for axis, (name, label) in zip(axes, shown, strict=True):
        gained = [np.subtract(figures[name], points[0.0][name]) for figures in points.values()]
        means, halves = zip(*map(interval, gained), strict=True)
        axis.errorbar(list(points), means, yerr=None if np.isnan(halves).all() else halves, marker="o", capsize=3)
        axis.set(xlabel="lambda (0: cross-entropy)", ylabel=label)
        axis.grid(alpha=0.3)
    return svg(canvas)


def svg(canvas: pyplot.Figure) -> str:
    """A figure as an SVG element."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(canvas)
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def write_page(out: Path, measured: Measured, seeds: Sequence[int]) -> Path:
    """Write ``report.html``."""
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "pvbias"
    page = jinja2.Template((HERE / "report.html.jinja").read_text(encoding="utf-8"), autoescape=True).render(
        seeds=seeds,
        rows=methods_table(measured),
        verdicts=verdicts(measured),
        sweep=sweep_plot(measured) if len({setting.rho for setting in measured}) > 1 else "",
        weights=lambda_plot(measured) if len({setting.weight for setting in measured}) > 1 else "",
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/out_of_context", seeds=(0, 1, 2))
    parser.add_argument("--rhos", nargs="+", type=float, default=RHOS, help="of the sweep, beside 1 (default 0.8 0.5)")
    parser.add_argument("--quick", action="store_true", help="one seed, three methods, no sweeps, short trainings")
    arguments = parser.parse_args(argv)
    study = Study.from_args(arguments)
    settings = [Setting(method=method) for method in METHODS]
    settings += [Setting(method="DRL Freeze", weight=weight) for weight in LAMBDAS]
    settings += [Setting(method=method, rho=rho) for rho in arguments.rhos for method in SWEPT]
    seeds = arguments.seeds
    if arguments.quick:
        settings, seeds = [Setting(method=method) for method in SWEPT], arguments.seeds[:1]
    measured = measure(study, seeds, settings, quick=arguments.quick)
    if not arguments.dry_run:
        print(write_page(arguments.out, measured, seeds))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
