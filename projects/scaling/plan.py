"""Training on 8 to 1,024 GPUs: how long, what bounds it, and how often to save; from a file of rates.

python projects/scaling/plan.py --rates projects/scaling/rates.json
python projects/scaling/plan.py --rates mine.json --models i3d_r50 --gpus 8 64 512 --set batch_limit=1024 --out plan/
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from interruptions import DAY, Interruptions, daly, interruptions, young
from rates import Model, Rates, read_rates
from steps import Step, epoch_seconds, step, steps_per_epoch, test_seconds
from tabulate import tabulate

from pvbias.config import get_cfg
from pvbias.errors import ConfigError, did_you_mean
from pvbias.tools.main import guard

GPUS = (8, 16, 32, 64, 128, 256, 512, 1024)
#: Preemptions of a machine a day, for the table of intervals.
PREEMPTION_RATES = (0.01, 0.1, 1.0)
#: What may be otherwise than the rates say: title -> other rates.
SCENARIOS: Mapping[str, Mapping[str, float]] = {
    "as above": {},
    "programs in a container or on local disks": {"start_opens": 0},
    "16 machines taken together": {"preempted_together": 16},
    "the queue grows with the square root of the machines": {"requeue_growth": 0.5},
    "the last two": {"preempted_together": 16, "requeue_growth": 0.5},
}
HOUR, MINUTE = 3600.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One model on one number of GPUs; times in seconds, of a whole training where not said otherwise.

    Attributes:
        gpus, nodes: that it runs on.
        step, steps_per_epoch, epoch: while nothing goes wrong.
        efficiency: clips a second and GPU, relative to one GPU that waits for nothing.
        input_per_gpu: cores that one GPU keeps busy; bytes_per_second: that all of them read.
        training: without checkpoints and interruptions.
        interruptions: of the job.
        young, daly: work between checkpoints.
        minutes, period: to set TRAIN.CHECKPOINT_MINUTES and TRAIN.CHECKPOINT_PERIOD to.
        lost: that one interruption costs with them.
        expected: the training with them; expected_by_default: with the configuration's defaults.
        likely: within which 9 of 10 trainings are done.
        test: all views of all test videos.
    """

    gpus: int
    nodes: int
    step: Step
    steps_per_epoch: int
    epoch: float
    efficiency: float
    input_per_gpu: float
    bytes_per_second: float
    training: float
    interruptions: Interruptions
    young: float
    daly: float
    minutes: float
    period: int
    lost: float
    expected: float
    expected_by_default: float
    likely: float
    test: float


def plan(rates: Rates, model: Model, gpus: int, *, trials: int = 2000) -> Plan:
    """Plan a training.

    Args:
        rates, model: what it costs.
        gpus: >= 1.
        trials: trainings that are simulated for ``Plan.likely``.
    """
    one = step(rates, model, gpus)
    epoch = epoch_seconds(rates, model, gpus)
    training = rates.epochs * epoch
    broken = interruptions(rates, model, gpus)
    optimum = daly(broken.save, broken.mean)
    minutes = round_minutes(optimum / MINUTE)
    period = max(1, min(math.floor(minutes * MINUTE / epoch), int(rates.epochs)))
    defaults = get_cfg().TRAIN
    actual = between_checkpoints(minutes, period, epoch)
    by_default = between_checkpoints(defaults.CHECKPOINT_MINUTES, defaults.CHECKPOINT_PERIOD, epoch)
    per_gpu = one.batch / one.seconds
    ideal = rates.gpu_batch / (rates.gpu_batch * model.clip_seconds / rates.gpu_speed + model.step_seconds)
    return Plan(
        gpus=gpus,
        nodes=math.ceil(gpus / rates.gpus_per_node),
        step=one,
        steps_per_epoch=steps_per_epoch(rates, one, gpus),
        epoch=epoch,
        efficiency=one.batch * steps_per_epoch(rates, one, gpus) / epoch / ideal,
        input_per_gpu=per_gpu * model.decode_seconds,
        bytes_per_second=per_gpu * gpus * model.read_bytes,
        training=training,
        interruptions=broken,
        young=young(broken.save, broken.mean),
        daly=optimum,
        minutes=minutes,
        period=period,
        lost=broken.lost(actual),
        expected=broken.expected(training, actual),
        expected_by_default=broken.expected(training, by_default),
        likely=float(np.quantile(broken.simulate(training, actual, trials), 0.9)),
        test=test_seconds(rates, model, gpus),
    )


def between_checkpoints(minutes: float, period: int, epoch: float) -> float:
    """Mean seconds of work between checkpoints: after every ``period`` epochs of ``epoch`` seconds, and where the last
    one is ``minutes`` old."""
    return period * epoch / math.ceil(period * epoch / (minutes * MINUTE))


def round_minutes(minutes: float) -> float:
    """To a number that one writes into a configuration: halves below 5, whole ones below 20, fives from there on. What
    is lost to the rounding is of second order."""
    unit = 0.5 if minutes < 5 else 1.0 if minutes < 20 else 5.0
    return max(round(minutes / unit) * unit, 0.5)


def markdown(rates: Rates, models: Mapping[str, Model], plans: Mapping[str, Sequence[Plan]]) -> str:
    """The tables of the plans of each model."""
    parts = []
    for name, rows in plans.items():
        model = models[name]
        title = f"## {name}\n\n{model.parameters / 1e6:.1f} million parameters, checkpoint"
        parts.append(f"{title} {model.checkpoint_bytes / 2**20:.0f} MiB")
        parts.append(_table(_SPEED, [_speed_row(row) for row in rows]))
        parts.append(_table(_SAVING, [_saving_row(row) for row in rows]))
        intervals = []
        for preemptions in PREEMPTION_RATES:
            often = dataclasses.replace(rates, node_preemptions=preemptions)
            saving = [interruptions(often, model, row.gpus) for row in rows]
            intervals.append([f"{preemptions:g}", *(f"{round_minutes(daly(i.save, i.mean) / 60):g}" for i in saving)])
        parts.append("`TRAIN.CHECKPOINT_MINUTES` for other rates of preemption, by the number of GPUs:")
        parts.append(_table(["preemptions a machine and day", *(str(row.gpus) for row in rows)], intervals))
        parts.append("Start of all processes, and the overhead where things are otherwise:")
        starts = [duration(rates.start(row.gpus)) for row in rows]
        others = [
            [title, *_scenario(dataclasses.replace(rates, **other), model, rows)] for title, other in SCENARIOS.items()
        ]
        parts.append(_table(["", *(str(row.gpus) for row in rows)], [["start", *starts], *others]))
    return "\n\n".join(parts) + "\n"


def _scenario(rates: Rates, model: Model, rows: Sequence[Plan]) -> list[str]:
    """The overhead of some plans with other rates, and checkpoints as often as is then best."""
    cells = []
    for row in rows:
        broken = interruptions(rates, model, row.gpus)
        minutes = round_minutes(daly(broken.save, broken.mean) / MINUTE)
        expected = broken.expected(row.training, between_checkpoints(minutes, row.period, row.epoch))
        cells.append(f"{expected / row.training - 1:.1%}")
    return cells


_SPEED = ("GPUs", "mini-batch", "steps an epoch", "step, ms", "GPU + fixed, ms", "slowest GPU, ms")
_SPEED += (
    "all-reduce (exposed), ms",
    "cores a GPU",
    "read, GB/s",
    "epoch",
    "training",
    "efficiency",
    "test",
    "bound by",
)


def _speed_row(row: Plan) -> list[str]:
    one = row.step
    return [
        f"{row.gpus:,}",
        f"{one.batch * row.gpus:,}",
        f"{row.steps_per_epoch:,}",
        f"{one.seconds * 1e3:.0f}",
        f"{one.work * 1e3:.0f} + {one.fixed * 1e3:.0f}",
        f"{one.waiting * 1e3:.0f}",
        f"{one.all_reduce * 1e3:.0f} ({one.exposed * 1e3:.1f})",
        f"{row.input_per_gpu:.2f}",
        f"{row.bytes_per_second / 1e9:.2f}",
        duration(row.epoch),
        duration(row.training),
        f"{row.efficiency:.0%}",
        duration(row.test),
        one.bound,
    ]


_SAVING = ("GPUs", "loses work every", "save, s", "Young", "Daly", "`CHECKPOINT_MINUTES`", "`CHECKPOINT_PERIOD`")
_SAVING += ("an interruption costs", "training, expected", "9 of 10 within", "overhead", "overhead by default")


def _saving_row(row: Plan) -> list[str]:
    broken = row.interruptions
    return [
        f"{row.gpus:,}",
        duration(broken.mean),
        f"{broken.save:.1f}",
        duration(row.young),
        duration(row.daly),
        f"{row.minutes:g}",
        str(row.period),
        duration(row.lost),
        duration(row.expected),
        duration(row.likely),
        f"{row.expected / row.training - 1:.1%}",
        f"{row.expected_by_default / row.training - 1:.1%}",
    ]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, required=True, help="file of rates, see measure.py")
    parser.add_argument("--models", nargs="+", help="of that file (default: all)")
    parser.add_argument("--gpus", type=int, nargs="+", help="numbers of GPUs (default: 8 to 1,024)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides", help="other rates")
    parser.add_argument("--out", type=Path, help="folder for plan.md and plan.json")
    parser.add_argument("--quick", action="store_true", help="8 and 1,024 GPUs, fewer simulated trainings")
    arguments = parser.parse_args(argv)
    rates, models = read_rates(arguments.rates, arguments.overrides)
    for name in arguments.models or ():
        if name not in models:
            raise ConfigError(f"--models {name}: {arguments.rates} has none of that name. {did_you_mean(name, models)}")
    gpus, trials = (GPUS[::7], 200) if arguments.quick else (GPUS, 2000)
    plans = {
        name: [plan(rates, models[name], n, trials=trials) for n in arguments.gpus or gpus]
        for name in arguments.models or models
    }
    text = markdown(rates, models, plans)
    print(text, end="")
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "plan.md").write_text(text, encoding="utf-8")
        content = {
            "rates": asdict(rates),
            "models": {name: asdict(models[name]) for name in plans},
            "plans": {
                name: [asdict(row) | {"seconds_per_step": row.step.seconds, "bound": row.step.bound} for row in rows]
                for name, rows in plans.items()
            },
        }
        (arguments.out / "plan.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
