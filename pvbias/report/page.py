"""The report: one HTML file that needs nothing beside it, for one run or for several side by side."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..evaluation.results import Predictions
from . import evidence, plots, ranking, sections, words
from .confusion import confusions
from .folder import PAGE, refuse_run, write_atomically, write_files
from .results import PREDICTIONS, RunResults, folder_of, joined_tables, read_predictions, read_results, read_videos
from .templating import render_template
from .training import training

FILE_NAME = PAGE


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html`` beside a run's ``results.json``; returns its path.

    Raises:
        DataError: there are no results to read.
    """
    run = read_results(run_dir)
    return write_atomically(folder_of(run_dir) / FILE_NAME, render([run], [_predictions(run_dir)]))


def write_comparison(run_dirs: Sequence[str | Path], out: str | Path) -> Path:
    """Write the same page with a column for each run, and the runs' joined tables, below the folder ``out``.

    An earlier comparison there goes.

    Args:
        run_dirs: folders with a ``results.json``, or those files; differences refer to the first.

    Returns:
        The path of the page.

    Raises:
        ConfigError: fewer than two runs, or ``out`` is the folder of one.
        DataError: a run has no results to read.
    """
    if len(run_dirs) < 2:
        raise ConfigError(f"A comparison needs two runs or more, not {len(run_dirs)}: give their folders.")
    refuse_run(out)
    runs = read_runs(run_dirs)
    page = render(runs, [_predictions(run_dir) for run_dir in run_dirs])
    write_files(out, joined_tables(runs) | {FILE_NAME: page})
    return Path(out) / FILE_NAME


def render(runs: Sequence[RunResults], predictions: Sequence[Predictions | None]) -> bytes:
    """The page as UTF-8; the same runs give the same bytes.

    Args:
        predictions: of each run, where it has kept them.
    """
    return render_template("report.html", _context(runs, predictions))


def _predictions(run_dir: str | Path) -> Predictions | None:
    folder = folder_of(run_dir)
    return read_predictions(folder) if (folder / PREDICTIONS).exists() else None


def _context(runs: Sequence[RunResults], predictions: Sequence[Predictions | None]) -> dict[str, Any]:
    return {
        "runs": runs,
        "colors": plots.COLORS,
        "cards": sections.headline(runs),
        "summary": ranking.summary(runs),
        "cautions": sections.cautions(runs),
        "warnings": sections.warnings(runs),
        "accuracy": sections.accuracy(runs),
        "classes": evidence.classes(runs),
        "confusions": confusions(predictions),
        "training": training(runs),
        "dynamics": sections.dynamics(runs),
        "measured": {name for run in runs for name, result in run.results.items() if result.figures},
        "layers": evidence.layers(runs),
        "samples": evidence.samples(runs),
        "others": sections.other_evaluators(runs),
        "not_measured": sections.not_measured(runs),
        "bad_videos": sections.bad_videos(runs),
        "details": sections.details(runs),
        "blind": words.BLIND,
        "half": words.HALF,
        "resolution": words.RESOLUTION,
        "slight": words.SLIGHT,
        "large": words.LARGE,
    }


def read_runs(run_dirs: Sequence[str | Path]) -> list[RunResults]:
    """The runs with names that tell them apart: where several have one, the folder is added, if need be the column.

    Raises:
        DataError: a run has no results to read.
    """
    runs = [read_videos(run_dir) for run_dir in run_dirs]
    names = [run.name for run in runs]
    folders = [folder_of(run_dir).resolve() for run_dir in run_dirs]
    shown = [
        f"{name} ({folder.name})" if names.count(name) > 1 else name
        for name, folder in zip(names, folders, strict=True)
    ]
    twice = {name for name, count in Counter(shown).items() if count > 1}
    shown = [f"{name} #{column}" if name in twice else name for column, name in enumerate(shown, start=1)]
    return [dataclasses.replace(run, name=name) for run, name in zip(runs, shown, strict=True)]
