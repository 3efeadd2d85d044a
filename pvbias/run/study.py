"""Studies: sets of runs, of which the missing ones are made, several at a time, and all are read.

For the scripts in ``projects/``; not a command of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import stats

from pvbias.config import complete, load_cfg
from pvbias.config.effects import effects, flat
from pvbias.config.keys import Effect
from pvbias.engine import launch, newest_checkpoint
from pvbias.engine.metric_log import FILE_NAME as LOG_NAME
from pvbias.errors import ConfigError, DataError, TrainingError
from pvbias.evaluation import Figure
from pvbias.hardware import available_cores
from pvbias.report.results import FILE_NAME, RunResults, read_results
from pvbias.run.job import run as run_job

#: Hundreds of configurations are read in a tenth of the time by libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One ``pvbias run``.

    Attributes:
        name: of its folder, before the seed.
        seed: RNG_SEED.
        config: the YAML file.
        overrides: ``KEY VALUE KEY VALUE ...`` on top of it.
        folder: its folder, below the study's; empty: ``NAME_seedSEED``.
    """

    name: str
    seed: int
    config: Path
    overrides: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The runs of a study, and how they are made.

    Attributes:
        out: folder of the runs' folders.
        extra: ``KEY VALUE ...`` for every run.
        jobs: runs at a time, >= 1; each gets its share of the cores.
        dry_run: print the commands of missing runs instead of running them.
        in_process: one after another in this process. For many runs of seconds each: it starts once, and what it keeps
            of the videos serves all of them. The figures are those of runs of their own.

    Raises:
        ConfigError: several runs at a time in one process.
    """

    out: Path
    extra: tuple[str, ...] = ()
    jobs: int = 1
    dry_run: bool = False
    in_process: bool = False
    _printed: set[Path] = field(default_factory=set)
    _compared: set[Path] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if self.in_process and self.jobs > 1:
            raise ConfigError(f"--in-process and --jobs {self.jobs}: in one process there is one run at a time.")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Study:
        """The study for the options of :func:`add_arguments`.

        Raises:
            ConfigError: a seed twice, which would pass for two trainings that agree.
        """
        if len(set(args.seeds)) < len(args.seeds):
            raise ConfigError(f"--seeds {' '.join(map(str, args.seeds))}: each is that of one training. Name it once.")
        extra = tuple(args.set)
        return cls(out=args.out, extra=extra, jobs=args.jobs, dry_run=args.dry_run, in_process=args.in_process)

    def folder(self, run: Run) -> Path:
        """The folder of a run's results."""
        return self.out / (run.folder or f"{run.name}_seed{run.seed}")

    def is_done(self, run: Run) -> bool:
        """Whether a run's results are there."""
        return (self.folder(run) / FILE_NAME).exists()

    def checkpoint(self, run: Run) -> str:
        """The last checkpoint of a run that is done; empty where it is not, or has none."""
        path = newest_checkpoint(str(self.folder(run))) if self.is_done(run) else None
        return str(path.resolve()) if path else ""

    def finish(self, runs: Sequence[Run]) -> list[RunResults]:
        """The results of runs, in order; missing ones are made first (:meth:`make`). With ``dry_run`` those that are
        there."""
        self.make(runs)
        return [read_results(self.folder(run)) for run in runs if self.is_done(run)]

    def make(self, runs: Sequence[Run]) -> None:
        """Make the missing ones of the runs; with ``dry_run`` print their commands.

        A run is one of several at a time: none may need another's weights (see :meth:`checkpoint`).

        Raises:
            ConfigError: a run was made with other settings.
            TrainingError: a run failed; the message has its command and its log. The others at work are finished, no
                more are begun.
        """
        missing = list(dict.fromkeys(run for run in runs if not self.is_done(run)))
        for run in dict.fromkeys(run for run in runs if self.is_done(run)):
            self._refuse_another(run)
        if self.dry_run:
            for run in missing:
                if self.folder(run) not in self._printed:
                    print(shlex.join(self._command(run)))
                    self._printed.add(self.folder(run))
            return
        if self.in_process:  # in the main thread, which signals are for
            for run in missing:
                self._make(run)
            return
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self._make, run) for run in missing]
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            for future in done:
                future.result()

    def produce(self, made: Path, *arguments: str) -> bool:
        """Make a file with another command of ``pvbias``, where it is missing; with ``dry_run`` print the command.

        Args:
            made: what the command writes last, in a folder of its own.
            arguments: the command.

        Returns:
            Whether the file is there.

        Raises:
            TrainingError: as :meth:`make`; the log is beside the folder.
        """
        if made.exists():
            return True
        command = [_program(), *arguments]
        if not self.dry_run:
            _execute(command, made.parent.with_name(f"{made.parent.name}.log"))
        elif made not in self._printed:
            print(shlex.join(command))
            self._printed.add(made)
        return made.exists()

    def _refuse_another(self, run: Run) -> None:
        """Raise ConfigError where a run that is done was made with other settings than these; of files of weights their
        place says nothing, and is not compared."""
        folder = self.folder(run)
        saved = folder / "config.yaml"
        if folder in self._compared or not saved.is_file():
            return
        old = dict(flat(yaml.load(saved.read_text(encoding="utf-8"), Loader=_Loader)))
        cfg = complete(load_cfg(run.config, self._keys(run)), num_classes=old["MODEL.NUM_CLASSES"])
        of_keys = effects(cfg)
        changes = [
            f"  {key}: was {old[key]!r}, is {new!r}"
            for key, new in flat(cfg)
            if key in old and old[key] != new and of_keys[key] not in (Effect.NOTHING, Effect.CONTENT)
        ]
        if changes:
            raise ConfigError(
                "\n".join([f"{folder} was made with other settings:", *changes])
                + "\nGive another --out or the settings as they were, or remove the folder."
            )
        self._compared.add(folder)

    def _keys(self, run: Run) -> list[str]:
        """All that is set on top of the run's file."""
        return [*run.overrides, *self.extra, "RNG_SEED", str(run.seed), "OUTPUT_DIR", str(self.folder(run))]

    def _command(self, run: Run) -> list[str]:
        return [_program(), "run", "--cfg", str(run.config), *self._keys(run)]

    def _make(self, run: Run) -> None:
        if self.is_done(run):  # by another process, meanwhile
            return
        folder, command = self.folder(run), self._command(run)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{folder} ...", flush=True)
        if self.in_process:
            launch(run_job, load_cfg(run.config, self._keys(run)))
            return
        threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // self.jobs))} if self.jobs > 1 else {}
        _execute(command, folder / "log.txt", threads)


def _program() -> str:
    # Not "python -m": from a clone's folder that finds the clone's pvbias/, which has no pvbias.tools in it.
    return str(Path(sysconfig.get_path("scripts")) / "pvbias")


def _execute(command: Sequence[str], log: Path, defaults: Mapping[str, str] | None = None) -> None:
    """Run a command that writes into a log, with these variables where they are not set."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        environment = {**(defaults or {}), **os.environ}
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode:
        raise TrainingError(f"{shlex.join(command)}\nended with exit code {done.returncode}; see {log}")


def add_arguments(parser: argparse.ArgumentParser, *, out: str, seeds: Sequence[int]) -> None:
    """Add the options that every study has.

    Args:
        parser: gets them.
        out: where its runs go by default.
        seeds: of the trainings, by default.
    """
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder of the runs and tables (default {out})")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds), help="of the trainings")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores (default 1)")
    parser.add_argument("--in-process", action="store_true", help="runs in this process: for many that take seconds")
    parser.add_argument("--dry-run", action="store_true", help="print the commands of the runs that are missing")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="configuration of every run")


def logged_steps(folder: Path) -> list[dict[str, Any]]:
    """Read the training steps of a run that is done from its log (:class:`.MetricLog`), in order."""
    lines = (folder / LOG_NAME).read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "train"]


def start(checkpoint: str) -> tuple[str, str]:
    """Configuration that makes a run start from these weights, or test them."""
    return "TRAIN.CHECKPOINT_FILE_PATH", checkpoint


def find_figure(
    run: RunResults, evaluator: str, name: str, variant: str = "original", *, levels: Sequence[str] = ("clip",)
) -> Figure:
    """Find a figure of a run by name, variant and level.

    Args:
        run: its results.
        evaluator: name in EVALUATOR.
        name: of the figure.
        variant: spec of the modulation.
        levels: one of these; clip level is as good as any where a video is one clip.

    Raises:
        DataError: the run has none.
    """
    result = run.results.get(evaluator)
    for found in result.figures if result else ():
        if (found.name, found.variant) == (name, variant) and found.level in levels:
            return found
    raise DataError(f"{run.name} has no figure {name} ({variant}, {' or '.join(levels)} level) of {evaluator}.")


def figure_value(
    run: RunResults, evaluator: str, name: str, variant: str = "original", *, levels: Sequence[str] = ("clip",)
) -> float:
    """The value of a figure; arguments as for :func:`find_figure`.

    Raises:
        DataError: the run has none, or it is undefined.
    """
    value = find_figure(run, evaluator, name, variant, levels=levels).value
    if value is None:
        raise DataError(f"{run.name}: the figure {name} ({variant}) of {evaluator} is undefined.")
    return value


def interval(values: Sequence[float] | np.ndarray, *, comparisons: int = 1) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval (Student's t over the seeds); nan for one seed.

    Args:
        values: one a seed.
        comparisons: intervals that are to hold all at once with 95 %: each holds with 1 - 0.05 / comparisons
            (Bonferroni).
    """
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    quantile = stats.t.ppf(1 - 0.025 / comparisons, len(values) - 1)
    return float(np.mean(values)), float(quantile * stats.sem(values))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation and its two-sided p value, over all orders (exact up to 9 pairs, else 100,000 drawn).

    Args:
        first, second: a pair at each place; infinite values are ranked as such, ties share their mean rank.

    Returns:
        (correlation, p value); nan where one of the two is the same everywhere, or there are fewer than three pairs.
    """
    ranks = [stats.rankdata(values) for values in (first, second)]
    if len(ranks[0]) < 3 or min(map(np.ptp, ranks)) == 0:
        return float("nan"), float("nan")
    one, two = (each - each.mean() for each in ranks)
    scale = np.sqrt((one**2).sum() * (two**2).sum())
    found = stats.permutation_test(
        [one],
        lambda shuffled, axis=-1: (shuffled * two).sum(axis) / scale,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=400_000 if len(one) <= 9 else 100_000,
        rng=np.random.default_rng(0),
    )
    return float(found.statistic), float(found.pvalue)


def text(values: Sequence[float], digits: int, *, sign: str = "") -> str:
    """``mean ± half width``."""
    mean, half = interval(values)
    return f"{mean:{sign}.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")


def verdict(gained: Sequence[float]) -> str:
    """The conclusion from the differences to a baseline, seed by seed."""
    mean, half = interval(gained)
    if np.isnan(half):
        return "one seed does not tell whether that is more than chance"
    if abs(mean) <= half:
        return "no difference that these seeds can tell from none"
    return "it helps" if mean > 0 else "it does harm"
