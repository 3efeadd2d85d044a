"""Remedies beside each other: what each method does to a recognizer that may go by appearance, by every measure.

python projects/remedies/study.py --out runs/remedies
python projects/remedies/study.py --out runs/remedies --jobs 2 --methods DRLFreeze StillMix --rhos 1

trains what is missing and writes `report.html` and `remedies.json` below `--out`; a run whose results are there is not
repeated, so an interrupted study goes on where it was. `--dry-run` prints the commands of the runs that can be made
now, one a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from pvbias.errors import ConfigError, did_you_mean
from pvbias.files import write_atomically
from pvbias.report.results import RunResults
from pvbias.report.templating import render_template
from pvbias.run.study import Run, Study, add_arguments, find_figure, interval, logged_steps, start
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent

#: How often the place tells the motion in training, from never (0) to always (1).
RHOS = (1.0, 0.8)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of training.

    Attributes:
        name: of its runs and its row.
        does: what it does, for somebody who does not know it.
        keys: its configuration, ``KEY VALUE ...``.
        is_control: no remedy: it shows what of a remedy's effect is not due to motion.
    """

    name: str
    does: str
    keys: tuple[str, ...] = ()
    is_control: bool = False


def _objective(name: str, does: str, *keys: str, is_control: bool = False) -> Method:
    """The objective of that name."""
    return Method(name=name, does=does, keys=("OBJECTIVE.NAME", name, *keys), is_control=is_control)


def _transform(name: str, does: str, transform: str) -> Method:
    """Cross-entropy with a transform."""
    return Method(name=name, does=does, keys=("TRAIN.TRANSFORMS", f"['{transform}']"))


BASELINE = "CrossEntropy"
METHODS = {
    method.name: method
    for method in (
        Method(name=BASELINE, does="plain training, which all are compared with"),
        _objective("DRLFreeze", "rewards predictions that differ from those for one frame of the clip"),
        _objective("DRLShuffle", "rewards predictions that differ from those for the frames in another order"),
        _objective(
            "DRLDistill", "rewards predictions that differ from those of an image network that follows the recognizer"
        ),
        _objective("ReBias", "makes features independent of an image network's, which follows them"),
        _objective("RUBi", "weakens the loss of clips that an image network is right about"),
        _objective("LearnedMixin", "learns what an image network does not know already"),
        _objective("ALBAR", "is punished for being right, or sure, about a frame that is repeated"),
        _objective(
            "SceneAdversary",
            "unlearns what tells the place, whose name it is given",
            "SCENE_ADVERSARY.ATTRIBUTE",
            "appearance",
        ),
        _transform(
            "StillMix",
            "blends frames into clips that an image network takes for their class, and keeps the clips' labels",
            "still_mix",
        ),
        _transform(
            "StillMixBatch",
            "blends frames of the other clips of the mini-batch into clips, and keeps their labels",
            "still_mix_batch",
        ),
        _transform("BackgroundErasing", "blends a frame of the clip itself into it", "background_erasing"),
        _transform("FAME", "puts what moves over the backgrounds of other clips, by frame differences", "fame"),
        _transform(
            "ActorCutMix", "puts actors, whose masks it knows, over the backgrounds of other clips", "actor_cutmix"
        ),
        _transform("MixUp", "blends clips, and their labels", "mixup"),
        _objective("EntropyPenalty", "makes predictions sharper", is_control=True),
        _objective("TemperedCrossEntropy", "makes predictions sharper, by a temperature in training", is_control=True),
        Method(
            name="LabelSmoothing",
            does="makes predictions sharper, by label smoothing of -0.1",
            keys=("OBJECTIVE.LABEL_SMOOTHING", "-0.1"),
            is_control=True,
        ),
        _objective(
            "OtherClipDivergence", "rewards predictions that differ from those for another video", is_control=True
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column: a figure of one of a method's runs.

    Attributes:
        title: what readers call it.
        run: which: "in" and "out" of context, or the "target" that the weights are carried over to.
        evaluator, figure, variant: where the figure is.
        unit: of the figure and of differences.
        digits: behind the point.
    """

    title: str
    run: str
    evaluator: str
    figure: str = "top1"
    variant: str = "original"
    unit: str = "%"
    digits: int = 1


OUT_OF_CONTEXT = Measure(title="out of context", run="out", evaluator="accuracy")
MEASURES = (
    Measure(title="in context", run="in", evaluator="accuracy"),
    OUT_OF_CONTEXT,
    Measure(title="other motions, fine-tuned", run="target", evaluator="accuracy"),
    Measure(
        title="dynamic score, one frame",
        run="in",
        evaluator="dynamic_score",
        figure="dynamic_score",
        variant="freeze_middle",
        unit="nats",
        digits=2,
    ),
    Measure(
        title="dynamic score, shuffled",
        run="in",
        evaluator="dynamic_score",
        figure="dynamic_score",
        variant="shuffle",
        unit="nats",
        digits=2,
    ),
    Measure(
        title="SCUBA",
        run="in",
        evaluator="contrasted_accuracy",
        variant="scuba",
    ),
    Measure(
        title="contrasted accuracy",
        run="in",
        evaluator="contrasted_accuracy",
        figure="contrasted_accuracy",
        variant="scuba",
    ),
    Measure(title="action swap", run="in", evaluator="action_swap", variant="action_swap(aligned=False)"),
    Measure(
        title="background error",
        run="in",
        evaluator="action_swap",
        figure="background_error",
        variant="action_swap(aligned=False)",
    ),
    Measure(title="appearance-free", run="in", evaluator="appearance_free", variant="appearance_free"),
    Measure(
        title="log ratio",
        run="in",
        evaluator="modulated_accuracy",
        figure="log_ratio",
        variant="shuffle",
        unit="",
        digits=2,
    ),
)

#: Beside them: time of a training step, of cross-entropy's with the same seed.
COST = "cost of a step"

#: Values of each seed, in order; nan where a figure is undefined (a log ratio of no right answers).
Values = np.ndarray
#: By correlation, method and measure.
Measured = dict[tuple[float, str, str], Values]


def measure(study: Study, seeds: Sequence[int], methods: Sequence[Method], rhos: Sequence[float]) -> Measured:
    """Pre-train, fine-tune with each method, test out of context and fine-tune on the target; what is missing of it.
    With ``study.dry_run`` nothing is measured."""
    learnt = [
        Run(name="motion", seed=seed, config=HERE / "motion.yaml", overrides=("DECOUPLED.SEED", str(seed)))
        for seed in seeds
    ]
    study.make(learnt)
    tuned = {
        (rho, method.name, run.seed): Run(
            name=f"{method.name}_rho{rho:g}",
            seed=run.seed,
            config=HERE / "tuned.yaml",
            overrides=(
                *("DECOUPLED.RHO", f"{rho:g}", "DECOUPLED.SEED", str(run.seed)),
                *method.keys,
                *start(study.checkpoint(run)),
            ),
        )
        for rho, run, method in product(rhos, learnt, methods)
        if study.checkpoint(run)
    }
    study.make(list(tuned.values()))
    trained = {key: run for key, run in tuned.items() if study.checkpoint(run)}
    runs = {
        "in": tuned,
        "out": {key: _outside(run, key[0], study.checkpoint(run)) for key, run in trained.items()},
        "target": {key: _carried_over(run, study.checkpoint(run)) for key, run in trained.items()},
    }
    study.make([run for kind in ("out", "target") for run in runs[kind].values()])
    if study.dry_run:
        return {}
    results = {kind: dict(zip(found, study.finish(list(found.values())), strict=True)) for kind, found in runs.items()}
    measured: Measured = {}
    for rho, method in product(rhos, methods):
        for column in MEASURES:
            values = [_value(results[column.run][rho, method.name, seed], column) for seed in seeds]
            measured[rho, method.name, column.title] = np.array(values)
        seconds = [_step_seconds(study.folder(tuned[rho, method.name, seed])) for seed in seeds]
        plain = [_step_seconds(study.folder(tuned[rho, BASELINE, seed])) for seed in seeds]
        measured[rho, method.name, COST] = np.divide(seconds, plain)
    return measured


def _outside(run: Run, rho: float, checkpoint: str) -> Run:
    """The test of a run's weights out of context."""
    seed = ("DECOUPLED.SEED", str(run.seed))
    keys = ("DECOUPLED.RHO", f"{rho:g}", "DECOUPLED.CONTEXT", "out", "TRAIN.ENABLE", "False", "BIAS.ENABLE", "False")
    return replace(run, name=f"{run.name}_out", overrides=(*keys, *seed, *start(checkpoint)))


def _carried_over(run: Run, checkpoint: str) -> Run:
    """Fine-tuning on the target, the same for all methods."""
    seed = ("DECOUPLED.SEED", str(1000 + run.seed))
    return replace(run, name=f"{run.name}_target", config=HERE / "target.yaml", overrides=(*seed, *start(checkpoint)))


def _step_seconds(folder: Path) -> float:
    """The median over a run's log of a step's time, with the loading of its clips."""
    return float(np.median([step["data_seconds"] + step["compute_seconds"] for step in logged_steps(folder)]))


def _value(run: RunResults, column: Measure) -> float:
    found = find_figure(run, column.evaluator, column.figure, column.variant, levels=("video", "clip"))
    return float("nan") if found.value is None else found.value


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a method changes.

    Attributes:
        value: mean of the seeds, with half the width of its 95 % interval.
        difference: mean of the differences to cross-entropy, seed by seed, with half the width of an interval that
            holds for all methods at once with 95 %, of this measure; None for cross-entropy itself.
    """

    value: tuple[float, float]
    difference: tuple[float, float] | None

    @property
    def direction(self) -> int:
        """1 or -1 where the interval of the difference lies above or below 0, else 0."""
        if self.difference is None:
            return 0
        mean, half = self.difference
        return int(np.sign(mean)) if abs(mean) > half else 0


def effects(measured: Measured, rho: float) -> dict[str, dict[str, Effect]]:
    """What each method changes at a correlation, by method and measure.

    Of m methods each interval is that of Student's t over the seeds at 1 - 0.05 / m (Bonferroni).
    """
    names = [name for at, name, title in measured if at == rho and title == OUT_OF_CONTEXT.title]
    compared = max(1, len(names) - 1)
    return {
        name: {
            column.title: Effect(
                value=interval(measured[rho, name, column.title]),
                difference=None
                if name == BASELINE
                else interval(
                    measured[rho, name, column.title] - measured[rho, BASELINE, column.title], comparisons=compared
                ),
            )
            for column in MEASURES
        }
        for name in names
    }


def conclusions(found: Mapping[str, Mapping[str, Effect]]) -> list[str]:
    """What to take when, as far as the intervals allow to say it."""
    gains = {
        name: each[OUT_OF_CONTEXT.title]
        for name, each in found.items()
        if name != BASELINE and not METHODS[name].is_control
    }
    if not all(np.isfinite(gain.difference).all() for gain in gains.values() if gain.difference):
        return ["One seed does not tell what is more than chance."]
    helping = sorted((name for name, gain in gains.items() if gain.direction > 0), key=lambda name: _mean(gains[name]))
    harming = [name for name, gain in gains.items() if gain.direction < 0]
    sentences = [f"Helps out of context: {_listed(helping[::-1], found)}." if helping else "None helps out of context."]
    if harming:
        sentences.append(f"Does harm out of context: {_listed(harming, found)}.")
    rest = [name for name in gains if name not in helping and name not in harming]
    if rest:
        sentences.append(f"Cannot be told from cross-entropy out of context: {', '.join(rest)}.")
    for name in helping[::-1]:
        worse = [column.title for column in MEASURES[:1] if found[name][column.title].direction < 0]
        if worse:
            sentences.append(f"{name} pays for it {worse[0]}: {_change(found[name][worse[0]])} points.")
    controls = [name for name in found if METHODS[name].is_control]
    acting = [name for name in controls if found[name][OUT_OF_CONTEXT.title].direction > 0]
    if controls:
        sentences.append(
            "Controls, which know nothing of motion, and help too: "
            + (f"{_listed(acting, found)}: as much of a remedy's gain may be due to sharpness." if acting else "none.")
        )
    return sentences


def _listed(names: Sequence[str], found: Mapping[str, Mapping[str, Effect]]) -> str:
    return ", ".join(f"{name} ({_change(found[name][OUT_OF_CONTEXT.title])} points)" for name in names)


def _mean(effect: Effect) -> float:
    return effect.difference[0] if effect.difference else 0.0


def _change(effect: Effect) -> str:
    assert effect.difference is not None
    mean, half = effect.difference
    return f"{mean:+.1f} ± {half:.1f}"


def write_page(out: Path, measured: Measured, seeds: Sequence[int]) -> Path:
    """Write ``report.html``, and its numbers as ``remedies.json``."""
    tables = {rho: effects(measured, rho) for rho in dict.fromkeys(rho for rho, _, _ in measured)}
    shown = [
        {
            "rho": rho,
            "rows": [
                {
                    "name": name,
                    "does": METHODS[name].does,
                    "is_control": METHODS[name].is_control,
                    "cells": [_cell(each[column.title], column) for column in MEASURES],
                    "cost": f"{np.median(measured[rho, name, COST]):.2f}",
                }
                for name, each in found.items()
            ],
            "conclusions": conclusions(found),
        }
        for rho, found in tables.items()
    ]
    compared = max(len(found) for found in tables.values()) - 1
    context = {"seeds": seeds, "measures": MEASURES, "tables": shown, "compared": compared}
    figures = [
        {"rho": rho, "method": name, "measure": title, "values": [None if np.isnan(v) else v for v in values]}
        for (rho, name, title), values in measured.items()
    ]
    numbers = json.dumps({"seeds": [*seeds], "figures": figures}, indent=1) + "\n"
    write_atomically(out / "remedies.json", numbers.encode())
    return write_atomically(out / "report.html", render_template(HERE / "report.html.jinja", context))


def _cell(effect: Effect, column: Measure) -> dict[str, Any]:
    mean, half = effect.value
    if np.isnan(mean):
        return {"value": "undefined", "half": "", "change": "", "direction": 0}
    change = ""
    if effect.difference is not None:
        change = _signed(effect.difference, column.digits)
    return {
        "value": f"{mean:.{column.digits}f}",
        "half": "" if np.isnan(half) else f"± {half:.{column.digits}f}",
        "change": change,
        "direction": effect.direction,
    }


def _signed(values: tuple[float, float], digits: int) -> str:
    mean, half = values
    return f"{mean:+.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/remedies", seeds=range(5))
    parser.add_argument("--rhos", nargs="+", type=float, default=RHOS, help="how often the place tells the motion")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="beside cross-entropy (default: all)")
    arguments = parser.parse_args(argv)
    for name in arguments.methods:
        if name not in METHODS:
            raise ConfigError(f"--methods: no method is called {name!r}. {did_you_mean(name, list(METHODS))}")
    methods = [METHODS[name] for name in dict.fromkeys([BASELINE, *arguments.methods])]
    measured = measure(Study.from_args(arguments), arguments.seeds, methods, arguments.rhos)
    if not arguments.dry_run:
        print(write_page(arguments.out, measured, arguments.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
