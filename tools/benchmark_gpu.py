"""Benchmark of training and evaluation on a GPU beside a loop in plain PyTorch: five models, and what is expected."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from pvbias.config import load_cfg
from pvbias.data.workers import worker_context
from pvbias.errors import ConfigError
from pvbias.files import write_atomically
from pvbias.machine import cudnn_version, prepare_process
from pvbias.runtime import MEMORY_FORMATS
from pvbias.storage.addresses import on_a_disk
from pvbias.tools.roofline import Limits, Work, count_work, measure_limits, top_kernels
from pvbias.tools.timed_steps import (
    STEPS_AT_ONCE,
    PlainStep,
    TrainerStep,
    median_ratio,
    take_turns,
    timed,
)
from pvbias.versions import versions


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with a mini-batch, and how fast its training is expected to be.

    Attributes:
        clips: ``(clips, frames, pixels of a side)`` of a mini-batch.
        speedup: of pvbias' step over the best one of a plain loop, at least; None: nothing is expected.
    """

    model: str
    clips: tuple[int, int, int]
    speedup: float | None = None


CASES = (
    Case(model="r3d_18", clips=(64, 16, 112), speedup=2.0),
    Case(model="inception_i3d", clips=(16, 64, 224), speedup=1.6),
    Case(model="slow_r50", clips=(32, 8, 224), speedup=1.4),
    Case(model="x3d_m", clips=(32, 16, 224), speedup=2.5),
    Case(model="mvit_base_16x4", clips=(16, 16, 224), speedup=1.4),
)

#: How many times as long as a step of cross-entropy one of DRLFreeze may take.
FREEZE = 1.35

TURNS = 5

#: What an H100 (SXM) was measured to do in bf16, and its memory: what --work sets the steps' work beside.
H100 = Limits(flops=745e12, traffic=3e12)

EPILOG = """Each model in a process of its own, bf16: a loop written by hand in PyTorch (autocast, cross-entropy,
backward, SGD with momentum; its clips on the device from the start) in both memory formats, the trainer's step with
cross-entropy and with DRLFreeze, and evaluation forwards, all taking turns; medians of 5. "speed-up" is the best plain
step over the trainer's, "freeze" DRLFreeze's step over cross-entropy's. What they take of the device's arithmetic and
memory traffic, peak memory and the kernels that take most are in the file, which is written after each model.

--work counts what the plain steps have to do instead, without a GPU: operations of convolutions and matrix products, a
backward counted as two forwards, and bytes where each of PyTorch's operators reads what it is given once and writes its
result once; and the milliseconds that an H100 needs for them (745 TFLOP/s, 3 TB/s).

examples:
  pvbias benchmark gpu --out gpu.json
  pvbias benchmark gpu --out gpu.json --cases x3d_m:32x16x224 slow_r50:32x8x224
exit code: 1 where something is slower than expected or failed"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark gpu",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", required=True, type=on_a_disk, metavar="FILE", help="where the figures go, JSON")
    add(
        "--cases",
        nargs="+",
        type=_case,
        metavar="MODEL[:NxTxS]",
        help="others than the five: N clips, T frames, side S",
    )
    add("--set", nargs="+", default=[], metavar=("KEY", "VALUE"), help="any keys of the configuration")
    add("--work", action="store_true", help="only count the steps' operations and bytes, on any machine")
    args = parser.parse_args(argv)
    if args.cases is None and not args.work and not torch.cuda.is_available():
        raise ConfigError("There is no GPU here, and on a CPU these models would take hours: name smaller --cases.")
    load_cfg(overrides=args.set)  # refuses what is wrong in them, and imports the plugins, once for all cases
    program, table = (_count, _work_table) if args.work else (_measure, _table)
    path, results = Path(args.out), []
    for case in args.cases or CASES:
        started = time.perf_counter()
        found = _in_own_process(program, case, args.set)
        result = {**asdict(case), **found, "took_seconds": time.perf_counter() - started}
        results.append(result)
        document = {"versions": versions(), "freeze_at_most": FREEZE, "results": results}
        write_atomically(path, json.dumps(document, indent=1).encode())
        print(table([result]), flush=True)
    print(f"\n{table(results)}\n\n{path}")
    return int(any(result["met"] is not True for result in results))


def _case(text: str) -> Case:
    name, _, size = text.partition(":")
    known = next((case for case in CASES if case.model == name), None)
    numbers = re.fullmatch(r"(\d+)x(\d+)x(\d+)", size)
    if numbers:
        clips, frames, side = map(int, numbers.groups())
        given = (clips, frames, side)
        return known if known and known.clips == given else Case(model=name, clips=given)
    if size or not known:
        raise argparse.ArgumentTypeError(f"{text!r}: give MODEL:NxTxS, or one of {', '.join(c.model for c in CASES)}")
    return known


def _in_own_process(
    program: Callable[[Case, Sequence[str]], dict[str, Any]], case: Case, overrides: Sequence[str]
) -> dict[str, Any]:
    """What a program gives, from a process whose end gives the GPU's memory back; ``error`` where it failed."""
    context = worker_context(*(name for name in sys.modules if name.startswith("pvbias.")), sent=program)
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        future = process.submit(program, case, overrides)
        error = future.exception()
    if error is not None:
        return {"error": "".join(traceback.format_exception(error)), "met": None}
    return future.result()


def _count(case: Case, overrides: Sequence[str]) -> dict[str, Any]:
    """The work of a plain step of a case."""
    step = TrainerStep([*_overrides(case), *overrides, "NUM_GPUS", "0"])
    return {"work": asdict(count_work(PlainStep(step, "channels_last_3d"))), "met": True}


def _overrides(case: Case) -> list[str]:
    clips, frames, side = case.clips
    keys = {
        "MODEL.MODEL_NAME": case.model,
        "TRAIN.BATCH_SIZE": clips,
        "DATA.NUM_FRAMES": frames,
        "DATA.TRAIN_CROP_SIZE": side,
        "PRECISION": "bf16",
        "SOLVER.BASE_LR": 1e-4,  # the clips are noise: weights should not run away
    }
    return [str(part) for pair in keys.items() for part in pair]


def _measure(case: Case, overrides: Sequence[str]) -> dict[str, Any]:
    """The figures of a case; times in milliseconds."""
    prepare_process()
    given = [*_overrides(case), *overrides]
    memory: dict[str, float | None] = {}
    with _Peak(memory, "pvbias"):
        trained = TrainerStep([*given, "OBJECTIVE.NAME", "CrossEntropy"])
        trained()
    settings = trained.trainer.settings
    plain = {}
    for memory_format in MEMORY_FORMATS:
        with _Peak(memory, f"plain {memory_format}"):
            plain[memory_format] = PlainStep(trained, memory_format)
            plain[memory_format]()
    with _Peak(memory, "pvbias freeze"):
        freeze = TrainerStep([*given, "OBJECTIVE.NAME", "DRLFreeze"])
        freeze()
    steps: dict[str, Callable[[], float]] = {
        **{f"plain {memory_format}": step for memory_format, step in plain.items()},
        "pvbias": trained,
        "pvbias freeze": freeze,
    }
    seconds = take_turns(steps, TURNS)
    forwards = {**{f"plain {name}": _PlainForward(step) for name, step in plain.items()}, "pvbias": _Forward(trained)}
    take_turns(forwards, 1)  # warm up
    evaluation = take_turns(forwards, TURNS)
    best = min((f"plain {name}" for name in plain), key=lambda name: statistics.median(seconds[name]))
    best_forward = min(plain, key=lambda name: statistics.median(evaluation[f"plain {name}"]))
    speedup = median_ratio(seconds[best], seconds["pvbias"])
    freeze_ratio = median_ratio(seconds["pvbias freeze"], seconds["pvbias"])
    try:
        details = _details(steps, seconds, plain[best.removeprefix("plain ")])
    except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError, LookupError) as error:
        # By parts of torch that may change; what was timed is not to be lost.
        details = {"details_error": "".join(traceback.format_exception(error))}
    return {
        "settings": settings.describe(),
        "cudnn": cudnn_version(),
        "best_plain": best.removeprefix("plain "),
        "step_ms": {name: [1000 * value for value in values] for name, values in seconds.items()},
        "evaluation_ms": {name: [1000 * value for value in values] for name, values in evaluation.items()},
        "measured_speedup": speedup,
        "freeze_ratio": freeze_ratio,
        "evaluation_speedup": median_ratio(evaluation[f"plain {best_forward}"], evaluation["pvbias"]),
        "met": (case.speedup is None or speedup >= case.speedup) and freeze_ratio <= FREEZE,
        "peak_gib": memory,
        **details,
    }


def _details(
    steps: Mapping[str, Callable[[], float]], seconds: Mapping[str, Sequence[float]], plain: PlainStep
) -> dict[str, Any]:
    """What the steps do beside what the device can do, and the kernels that take most."""
    work, limits = count_work(plain), measure_limits(plain.device, plain.precision)
    shares = {name: work.shares(statistics.median(values), limits) for name, values in seconds.items()}
    kernels = {}
    if plain.device.type == "cuda":
        kernels = {name: top_kernels(step, STEPS_AT_ONCE["cuda"]) for name, step in steps.items()}
    return {
        "work": asdict(work),
        "limits": asdict(limits),
        "share_of_arithmetic": {name: share for name, (share, _) in shares.items()},
        "share_of_memory": {name: share for name, (_, share) in shares.items()},
        "kernels": {name: [asdict(kernel) for kernel in found] for name, found in kernels.items()},
    }


class _Forward:
    """An evaluation forward of the trainer's recognizer, timed."""

    def __init__(self, step: TrainerStep) -> None:
        self.recognizer, self.settings = step.trainer.recognizer, step.trainer.settings
        self.clips = self.settings.clips(step.batch.clips)

    @torch.inference_mode()
    def __call__(self) -> float:
        self.recognizer.eval()
        with self.settings.autocast():
            device = self.settings.device
            return timed(lambda: self.recognizer(self.clips), device, STEPS_AT_ONCE[device.type])


class _PlainForward:
    """An evaluation forward of a plain loop's network, timed."""

    def __init__(self, step: PlainStep) -> None:
        self.step = step

    @torch.inference_mode()
    def __call__(self) -> float:
        self.step.module.eval()
        with self.step.autocast():
            device = self.step.device
            return timed(lambda: self.step.logits(self.step.batch), device, STEPS_AT_ONCE[device.type])


class _Peak:
    """Notes the largest memory of a GPU that was in use inside, GiB, what was in use before left out; None on a CPU."""

    def __init__(self, notes: dict[str, float | None], name: str) -> None:
        self.notes, self.name = notes, name

    def __enter__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.init()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def __exit__(self, *args: object) -> None:
        used = torch.cuda.max_memory_allocated() - self.before if torch.cuda.is_available() else 0
        self.notes[self.name] = used / 2**30 if used else None


def _table(results: Sequence[dict[str, Any]]) -> str:
    """A line for each case: what was timed."""
    rows: list[tuple] = []
    for result in results:
        if "error" in result:
            rows.append(_failed(result))
            continue
        steps = {name: statistics.median(values) for name, values in result["step_ms"].items()}
        forwards = {name: statistics.median(values) for name, values in result["evaluation_ms"].items()}
        best, expected = result["best_plain"], result["speedup"]
        rows.append(
            (
                _name(result),
                f"{steps[f'plain {best}']:.1f} ({best})",
                f"{steps['pvbias']:.1f}",
                f"{result['measured_speedup']:.2f}" + (f" (>= {expected})" if expected else ""),
                f"{result['freeze_ratio']:.2f} (<= {FREEZE})",
                f"{min(ms for name, ms in forwards.items() if name != 'pvbias'):.1f}",
                f"{forwards['pvbias']:.1f}",
                "met" if result["met"] else "NOT met",
            )
        )
    headers = ("", "plain ms", "pvbias ms", "speed-up", "freeze", "plain evaluation ms", "pvbias evaluation ms", "")
    return tabulate(rows, headers=headers)


def _work_table(results: Sequence[dict[str, Any]]) -> str:
    """A line for each case: what its plain step has to do."""
    rows: list[tuple] = []
    for result in results:
        if "error" in result:
            rows.append(_failed(result))
            continue
        work = Work(**result["work"])
        at_arithmetic, at_memory = 1000 * work.flops / H100.flops, 1000 * work.traffic / H100.traffic
        rows.append((_name(result), work.flops / 1e12, at_arithmetic, work.traffic / 1e9, at_memory))
    headers = ("", "TFLOP", "ms at an H100's arithmetic", "GB", "ms at its memory")
    return tabulate(rows, headers=headers, floatfmt=("", ".3f", ".1f", ".1f", ".1f"))


def _name(result: Mapping[str, Any]) -> str:
    return f"{result['model']} {'x'.join(map(str, result['clips']))}"


def _failed(result: Mapping[str, Any]) -> tuple[str, str]:
    return _name(result), "failed: " + result["error"].strip().splitlines()[-1][:60]
