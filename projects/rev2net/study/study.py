"""Rev2Net and its ablations where appearance shifts from source to target: accuracy on both, error of the decoded flow.

python projects/rev2net/study/study.py --out runs/rev2net --jobs 2
python projects/rev2net/study/study.py --out runs/rev2net --quick

trains what is missing and writes `report.html` below `--out`; a run whose results are there is not repeated.
`--controls` adds what tells "flow helps" from "an auxiliary task helps".
`--dry-run` prints the commands of the runs that can be made now, one a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import jinja2
import numpy as np

from pvbias.run.study import Run, Study, add_arguments, figure_value, interval, start, text, verdict
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent
#: The same pre-training, so that runs of that study serve this one.
BRUSH = HERE.parents[1] / "drl" / "out_of_context" / "brush.yaml"

REV2NET = ("OBJECTIVE.NAME", "Rev2Net")
METHODS = {
    "Cross-entropy": ("OBJECTIVE.NAME", "CrossEntropy"),
    "Rev2Net": REV2NET,
    "without frame decoder": (*REV2NET, "REV2NET.FRAME_DECODER", "False"),
    "without flow decoder": (*REV2NET, "REV2NET.FLOW_DECODER", "False"),
    "without penalty": (*REV2NET, "REV2NET.LOW_LEVEL", "False", "REV2NET.HIGH_LEVEL", "False"),
    "low-level penalty only": (*REV2NET, "REV2NET.HIGH_LEVEL", "False"),
    "high-level penalty only": (*REV2NET, "REV2NET.LOW_LEVEL", "False"),
}
BASELINE = "Cross-entropy"
FLOW_ALONE = METHODS["without frame decoder"]
#: What a reviewer asks: does flow help, or would any auxiliary task, any decoder, any weight? Trained with
#: ``--controls``, each compared with the method that it is a control of.
CONTROLS = {
    "zero flow": ("without frame decoder", (*FLOW_ALONE, "REV2NET.FLOW_TARGET", "zero")),
    "another clip's flow": ("without frame decoder", (*FLOW_ALONE, "REV2NET.FLOW_TARGET", "shuffled")),
    "delayed flow": ("without frame decoder", (*FLOW_ALONE, "REV2NET.FLOW_TARGET", "delayed")),
    "flow decoder cut off": ("without frame decoder", (*FLOW_ALONE, "REV2NET.DETACHED", "True")),
    "decoders cut off": ("Rev2Net", (*REV2NET, "REV2NET.DETACHED", "True")),
    "beta 0.01": ("Rev2Net", (*REV2NET, "REV2NET.BETA", "0.01")),
    "beta 0.001": ("Rev2Net", (*REV2NET, "REV2NET.BETA", "0.001")),
    "frames without flip": ("without flow decoder", (*METHODS["without flow decoder"], "REV2NET.FLIP", "False")),
}
#: ``--quick``: these, in trainings of half the length, and shorter.
QUICK = (BASELINE, "Rev2Net", "without penalty")
QUICK_BRUSH = ("SOLVER.MAX_EPOCH", "0.5", "SOLVER.WARMUP_EPOCHS", "0.05")
QUICK_TUNED = ("SOLVER.MAX_EPOCH", "1.0", "DECOUPLED.TEST_VIDEOS", "200")

#: What is tested: videos whose place gives the motion away as in training, and videos in which it misleads.
SIDES = ("source", "target")
#: Logged by training: end-point error of the predicted flow and of predicting no motion, pixels.
FLOW_ERRORS = ("flow_epe", "zero_flow_epe")
#: Paper, Table 2, accuracy on UCF101 and HMDB51, percent: I3D and Rev2Net from ImageNet's weights.
PAPER = {
    "Cross-entropy": (84.5, 49.8),
    "Rev2Net": (94.6, 71.1),
    "without frame decoder": (93.8, 69.6),
    "without flow decoder": (93.1, 67.5),
    "without penalty": (93.3, 69.7),
}

#: Figures of each seed by method: SIDES (percent), FLOW_ERRORS (pixels).
Measured = dict[str, dict[str, list[float]]]


def measure(study: Study, seeds: Sequence[int], methods: Sequence[str], *, quick: bool) -> Measured:
    """Pre-train, fine-tune with each of these methods, test on source and target; what is missing of it."""
    options = QUICK_BRUSH if quick else ()
    brush = [Run(name="brush", seed=seed, config=BRUSH, overrides=options) for seed in seeds]
    study.make(brush)
    options = QUICK_TUNED if quick else ()
    tuned = {
        (method, run.seed): Run(
            name=method.lower().replace(" ", "_").replace("'", ""),
            seed=run.seed,
            config=HERE / "tuned.yaml",
            overrides=(*options, *_overrides(method), *start(study.checkpoint(run))),
        )
        for method, run in product(methods, brush)
        if study.checkpoint(run)
    }
    source = dict(zip(tuned, study.finish(list(tuned.values())), strict=False))
    tested = {
        key: replace(
            run,
            name=f"{run.name}_target",
            # The methods differ in training alone: what is tested is the plain network.
            overrides=("DECOUPLED.CONTEXT", "out", "TRAIN.ENABLE", "False", *options, *start(study.checkpoint(run))),
        )
        for key, run in tuned.items()
        if study.checkpoint(run)
    }
    target = dict(zip(tested, study.finish(list(tested.values())), strict=False))
    if study.dry_run:
        return {}
    measured: Measured = {}
    for key, run in tuned.items():
        sides = {"source": source[key], "target": target[key]}
        figures = {side: figure_value(tested_on, "accuracy", "top1") for side, tested_on in sides.items()}
        figures |= flow_errors(study.folder(run))
        for name, value in figures.items():
            measured.setdefault(key[0], {}).setdefault(name, []).append(value)
    return measured


def _overrides(method: str) -> tuple[str, ...]:
    return CONTROLS[method][1] if method in CONTROLS else METHODS[method]


def flow_errors(folder: Path) -> dict[str, float]:
    """FLOW_ERRORS, means over the second half of a training; empty where no flow is decoded."""
    lines = [json.loads(line) for line in (folder / "train_log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if FLOW_ERRORS[0] in line]
    late = steps[len(steps) // 2 :]
    return {name: float(np.mean([line[name] for line in late])) for name in FLOW_ERRORS if late}


def gains(measured: Measured, method: str, side: str, over: str = BASELINE) -> list[float]:
    """Percentage points over the baseline or another method, seed by seed."""
    return [ours - base for ours, base in zip(measured[method][side], measured[over][side], strict=True)]


def table(measured: Measured) -> list[list[str]]:
    """Rows: method, accuracy on source and target, what is gained on each over the baseline seed by seed, FLOW_ERRORS,
    and the paper's accuracies."""
    rows = []
    for method, figures in measured.items():
        gained = [gains(measured, method, side) for side in SIDES] if method != BASELINE else []
        rows.append(
            [
                method,
                *(text(figures[side], 1) for side in SIDES),
                *([text(values, 1, sign="+") for values in gained] or ["", ""]),
                *(text(figures[name], 2) if name in figures else "" for name in FLOW_ERRORS),
                *([f"{value:.1f}" for value in PAPER[method]] if method in PAPER else ["", ""]),
            ]
        )
    return rows


def verdicts(measured: Measured) -> list[str]:
    """What the differences to the baseline on the target allow to say of each method."""
    sentences = []
    for method in measured:
        if method == BASELINE:
            continue
        gained = gains(measured, method, "target")
        sentences.append(f"{method}: {np.mean(gained):+.1f} points on the target: {verdict(gained)}.")
    return sentences


def answers(measured: Measured) -> list[str]:
    """What each method gains on the target over each of its controls: whether it is flow that helps."""
    sentences = []
    for control, (method, _) in CONTROLS.items():
        if control in measured:
            gained = gains(measured, method, "target", over=control)
            told = "more than chance" if abs(np.mean(gained)) > interval(gained)[1] else "not told from chance"
            sentences.append(f"{method} over {control}: {text(gained, 1, sign='+')} points on the target: {told}.")
    return sentences


def orders(measured: Measured) -> dict[str, str]:
    """Methods that the paper has, best first: on our target, and in the paper's two columns."""
    ours = {method: float(np.mean(measured[method]["target"])) for method in PAPER if method in measured}
    columns = {"target, mean over the seeds": ours}
    for column, name in enumerate(("paper, UCF101", "paper, HMDB51")):
        columns[name] = {method: PAPER[method][column] for method in ours}
    return {name: ", ".join(sorted(column, key=column.__getitem__, reverse=True)) for name, column in columns.items()}


def write_page(out: Path, measured: Measured, seeds: Sequence[int]) -> Path:
    """Write ``report.html``."""
    page = jinja2.Template((HERE / "report.html.jinja").read_text(encoding="utf-8"), autoescape=True).render(
        seeds=seeds,
        rows=table(measured),
        verdicts=verdicts(measured),
        answers=answers(measured),
        orders=orders(measured),
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/rev2net_study", seeds=(0, 1, 2))
    parser.add_argument("--quick", action="store_true", help="one seed, three methods, short trainings")
    parser.add_argument("--controls", action="store_true", help="Rev2Net's controls as well (CONTROLS)")
    arguments = parser.parse_args(argv)
    methods, seeds = (QUICK, arguments.seeds[:1]) if arguments.quick else (tuple(METHODS), arguments.seeds)
    if arguments.controls:
        wanted = {name: method for name, (method, _) in CONTROLS.items()}
        methods = tuple(dict.fromkeys((*methods, *wanted.values(), *wanted)))
    measured = measure(Study.from_args(arguments), seeds, methods, quick=arguments.quick)
    if not arguments.dry_run:
        print(write_page(arguments.out, measured, seeds))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
