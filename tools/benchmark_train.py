"""Benchmark of training steps, time and memory, by objective, precision and memory format."""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import re
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tabulate import tabulate

from pvbias.config import load_cfg
from pvbias.data.workers import worker_context
from pvbias.files import write_atomically
from pvbias.machine import prepare_process
from pvbias.runtime import MEMORY_FORMATS
from pvbias.storage.addresses import on_a_disk
from pvbias.tools.roofline import Kernel, Limits, Work, count_work, measure_limits, top_kernels
from pvbias.tools.timed_steps import (
    STEPS_AT_ONCE,
    PlainStep,
    StudentStep,
    TrainerStep,
    median_ratio,
    student_of,
    take_turns,
)
from pvbias.versions import versions

BASELINE = "CrossEntropy"
PLAIN = "plain"

EPILOG = """A step is the trainer's: all phases of the objective, each with loss, backward and optimizer. The objectives
of a model take turns, so that slow moments of the machine hit all alike; "x CrossEntropy" is the median, over the
turns, of the ratio to CrossEntropy's step of the same turn, and "x parts" that to CrossEntropy's step, a step of the
spatial student (where steps train it) and a forward of it together, each alone. "x first" compares with the model's
first line.

--against plain adds a loop written by hand in PyTorch (autocast, cross-entropy, backward, SGD with momentum) on the
same network without pvbias' layers, its clips on the device from the start, in both memory formats; "x plain" is the
ratio to the better one's. "TFLOP" are those of the plain step's convolutions and matrix products, a backward counted as
two forwards; "GB" are read and written where each of PyTorch's operators reads what it is given once and writes its
result once. Beside them the shares of what the device was measured to do in a large matrix product and a large copy.

Peak memory is measured apart, each case in a process of its own, over two steps: on a GPU what torch allocates there,
on a CPU by how much the process's peak resident memory grows from before the model is built (Linux only).

examples:
  pvbias benchmark train --models x3d_xs slow_r50 --crop-size 112 --batch-size 4
  pvbias benchmark train --models r3d_18 --against plain --precisions bf16 --memory-formats auto --json steps.json
  pvbias benchmark train --models slow_r50 --objectives DRLFreeze DRLDistill --set STUDENT.NAME mobilenet_v3_small
  pvbias benchmark train --models slow_r50 --transforms still_mix_batch mixup --set STILL_MIX.PROB 1"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was timed of one kind of step.

    Attributes:
        objective: its name; ``plain``: none, but the loop in plain PyTorch.
        seconds: of a step in each turn.
        student_seconds: of a step and a forward of the objective's spatial student in each turn; empty: it has none.
        peak_mib: memory.
        kernels: those of a GPU that take most.
    """

    model: str
    precision: str
    memory_format: str
    objective: str
    seconds: Sequence[float]
    student_seconds: Sequence[float] = ()
    peak_mib: float = math.nan
    kernels: Sequence[Kernel] = ()

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Cases that took turns.

    Attributes:
        cases: the first one is the baseline.
        work: of a plain step; None: there is none beside them.
        limits: of the device; likewise.
    """

    cases: Sequence[Case]
    work: Work | None = None
    limits: Limits | None = None


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark train",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", default=["x3d_xs"], help="architectures")
    add("--objectives", nargs="+", default=[], help=f"to set beside {BASELINE}, which is always timed")
    add("--transforms", nargs="+", default=[], help=f"of the mini-batches of {BASELINE}, each by itself")
    add("--against", choices=[PLAIN], help="a loop in plain PyTorch beside them, and what the device could do")
    add("--precisions", nargs="+", help="default: fp32 bf16 (fp16, on a GPU); with --objectives the machine's choice")
    add("--memory-formats", nargs="+", help="default: contiguous channels_last_3d; likewise")
    add("--crop-size", type=int, default=112, help="side of the crop, pixels (default 112)")
    add("--batch-size", type=int, default=4, help="clips in a step (default 4)")
    add("--steps", type=int, default=5, help="timed turns of each kind of step (default 5)")
    add("--json", type=on_a_disk, metavar="FILE", help="write all that was measured")
    add("--set", nargs="+", default=[], metavar=("KEY", "VALUE"), help="any other keys of the configuration")
    args = parser.parse_args(argv)
    automatic = ["auto"] if args.objectives or args.transforms else None
    precisions = args.precisions or automatic or ["fp32", "bf16", "fp16"][: 3 if torch.cuda.is_available() else 2]
    memory_formats = args.memory_formats or automatic or ["contiguous", "channels_last_3d"]
    objectives = list(dict.fromkeys([BASELINE, *args.objectives]))
    prepare_process()
    comparisons: list[Comparison] = []
    rows: list[tuple] = []
    for model in args.models:
        timed: list[Comparison] = []
        for precision, memory_format in itertools.product(precisions, memory_formats):
            keys = {
                "MODEL.MODEL_NAME": model,
                "DATA.TRAIN_CROP_SIZE": args.crop_size,
                "PRECISION": precision,
                "MEMORY_FORMAT": memory_format,
                "TRAIN.BATCH_SIZE": args.batch_size,
                "SOLVER.BASE_LR": 1e-4,  # the clips are noise: weights should not run away
            }
            overrides = [*(str(part) for pair in keys.items() for part in pair), *args.set]
            cases = [[*overrides, "OBJECTIVE.NAME", name] for name in objectives]
            plain = [*overrides, "OBJECTIVE.NAME", BASELINE, "TRAIN.TRANSFORMS"]
            cases += [[*plain, str([name])] for name in args.transforms]
            timed.append(_compare(cases, args.steps, with_plain=args.against == PLAIN))
        rows += [row for comparison in timed for row in _rows(comparison, timed[0].cases[0].median)]
        comparisons += timed
    headers = ["model", "precision", "memory format", "objective", "median s"]
    headers += [f"x {BASELINE}", "x parts", "x first", "peak MiB"]
    headers += ["x plain", "TFLOP", "% arithmetic", "GB", "% memory"] if args.against else []
    floats = ("", "", "", "", ".3f", ".3f", ".3f", ".3f", ".0f", ".3f", ".3f", ".1f", ".2f", ".1f")
    print(tabulate(rows, headers=headers, floatfmt=floats))
    for comparison in comparisons:
        _print_details(comparison)
    if args.json:
        document = {"versions": versions(), "comparisons": [asdict(comparison) for comparison in comparisons]}
        write_atomically(Path(args.json), json.dumps(document, indent=1).encode())
    return 0


def _compare(overrides: Sequence[Sequence[str]], turns: int, *, with_plain: bool) -> Comparison:
    """Time the steps of several configurations, the first one the baseline, and a plain loop in both formats; and
    measure their memory."""
    timed = _time(overrides, turns, with_plain=with_plain)
    # What they had on a GPU is free for the processes that measure it.
    gc.collect()
    torch.cuda.empty_cache()
    plain = [(overrides[0], case.memory_format) for case in timed.cases if case.objective == PLAIN]
    peaks = [_in_own_process(*each) for each in [*((each, "") for each in overrides), *plain]]
    cases = [replace(case, peak_mib=peak) for case, peak in zip(timed.cases, peaks, strict=True)]
    return replace(timed, cases=cases)


def _time(overrides: Sequence[Sequence[str]], turns: int, *, with_plain: bool) -> Comparison:
    trained = [TrainerStep(each) for each in overrides]
    plain = [PlainStep(trained[0], memory_format) for memory_format in MEMORY_FORMATS] if with_plain else []
    students = {number: StudentStep(step) for number, step in enumerate(trained) if student_of(step.trainer)}
    steps = {
        **{f"step {number}": step for number, step in enumerate(trained)},
        **{f"student {number}": step for number, step in students.items()},
        **{f"plain {step.memory_format}": step for step in plain},
    }
    take_turns(steps, 1)  # warm up
    seconds = take_turns(steps, turns)
    device = trained[0].trainer.settings.device
    on_gpu, model = device.type == "cuda", trained[0].trainer.cfg.MODEL.MODEL_NAME
    cases = [
        Case(
            model=model,
            precision=step.trainer.settings.precision,
            memory_format=step.trainer.settings.memory_format,
            objective=" after ".join([step.trainer.cfg.OBJECTIVE.NAME, *step.trainer.cfg.TRAIN.TRANSFORMS]),
            seconds=seconds[f"step {number}"],
            student_seconds=seconds.get(f"student {number}", ()),
            kernels=top_kernels(step, STEPS_AT_ONCE[device.type]) if on_gpu and with_plain else (),
        )
        for number, step in enumerate(trained)
    ]
    cases += [
        Case(
            model=model,
            precision=step.precision,
            memory_format=step.memory_format,
            objective=PLAIN,
            seconds=seconds[f"plain {step.memory_format}"],
            kernels=top_kernels(step, STEPS_AT_ONCE[device.type]) if on_gpu else (),
        )
        for step in plain
    ]
    if not plain:
        return Comparison(cases=cases)
    return Comparison(cases=cases, work=count_work(plain[0]), limits=measure_limits(device, plain[0].precision))


def _rows(comparison: Comparison, first: float) -> list[tuple]:
    """The lines of the table; ``first``: seconds of the model's first one."""
    base = comparison.cases[0]
    plain = min((case for case in comparison.cases if case.objective == PLAIN), key=lambda c: c.median, default=None)
    rows = []
    for case in comparison.cases:
        parts = [x + y for x, y in zip(base.seconds, case.student_seconds, strict=False)]
        row: tuple = (case.model, case.precision, case.memory_format, case.objective, case.median)
        row += (median_ratio(case.seconds, base.seconds), median_ratio(case.seconds, parts) if parts else None)
        row += (case.median / first, case.peak_mib)
        if plain and comparison.work and comparison.limits:
            arithmetic, memory = comparison.work.shares(case.median, comparison.limits)
            row += (median_ratio(case.seconds, plain.seconds), comparison.work.flops / 1e12, 100 * arithmetic)
            row += (comparison.work.traffic / 1e9, 100 * memory)
        rows.append(row)
    return rows


def _print_details(comparison: Comparison) -> None:
    base = comparison.cases[0]
    if comparison.limits:
        what = (
            f"{comparison.limits.flops / 1e12:.3g} TFLOP/s {base.precision}, {comparison.limits.traffic / 1e9:.3g} GB/s"
        )
        print(f"\n{base.model}: the device does {what}")
    for case in comparison.cases:
        if case.kernels:
            print(f"\n{case.model}, {case.objective}, {case.memory_format}: kernels")
            print(tabulate([(k.milliseconds, k.calls, k.name[:100]) for k in case.kernels], ("ms", "calls", "name")))


def _in_own_process(overrides: Sequence[str], plain_format: str = "") -> float:
    # From a process that has imported what this one has, and done nothing yet: a fresh one imports for seconds.
    context = worker_context(*(name for name in sys.modules if name.startswith("pvbias.")), sent=_peak_memory)
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(_peak_memory, overrides, plain_format).result()


def _peak_memory(overrides: Sequence[str], plain_format: str = "") -> float:
    """MiB of the trainer's step, or of a plain one in that memory format; the second step is the first that has the
    optimizers' momenta from its beginning."""
    prepare_process()
    load_cfg(overrides=overrides)  # imports the plugins, which are not to be counted
    before = _resident_peak()
    step = TrainerStep(overrides)
    device = step.trainer.settings.device
    if plain_format:
        step = PlainStep(step, plain_format)
    step()
    step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return _resident_peak() - before


def _resident_peak() -> float:
    """MiB, from Linux's description of the process; nan where there is none. (``getrusage`` would also count what the
    parent process had.)"""
    try:
        return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10  # type: ignore[index]
    except (OSError, TypeError):
        return math.nan
