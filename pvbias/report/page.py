"""The report: one self-contained HTML file, for one run or for several side by side."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import write_atomically
from ..plugin_loading import load_plugins
from . import plots, sketches
from .accuracy import TOP1
from .cards import cards
from .comparability import cautions, warnings
from .figures import measured_metrics
from .folder import PAGE, refuse_run, write_files
from .metric import Metric
from .ranking import summary
from .results import PREDICTIONS, RunResults, folder_of, joined_tables, read_predictions, read_results, read_videos
from .run_details import bad_videos, details, not_measured
from .section import build_sections, other_evaluators
from .templating import render_template

FILE_NAME = PAGE


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html`` beside a run's ``results.json``; returns its path.

    Raises:
        DataError: there are no results to read.
    """
    run = _with_predictions(read_results(run_dir), run_dir)
    return write_atomically(folder_of(run_dir) / FILE_NAME, render([run]))


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
    page = render([_with_predictions(run, run_dir) for run, run_dir in zip(runs, run_dirs, strict=True)])
    write_files(out, joined_tables(runs) | {FILE_NAME: page})
    return Path(out) / FILE_NAME


def render(runs: Sequence[RunResults]) -> bytes:
    """Render the page as UTF-8; the same runs give the same bytes.

    Sections and metrics are those of the registries: the core's, those of installed plugins, and what else has been
    imported.
    """
    load_plugins()
    return render_template("report.html", _context(runs))


def _with_predictions(run: RunResults, run_dir: str | Path) -> RunResults:
    folder = folder_of(run_dir)
    return dataclasses.replace(run, predictions=read_predictions(folder)) if (folder / PREDICTIONS).exists() else run


def _context(runs: Sequence[RunResults]) -> dict[str, Any]:
    metrics = measured_metrics(runs)
    sections = build_sections(runs)
    return {
        "runs": runs,
        "colors": plots.COLORS,
        "cards": cards(runs),
        "summary": summary(runs),
        "cautions": cautions(runs),
        "warnings": warnings(runs),
        "glossary": {
            term: (text, metric.pictures.get(term, "")) for metric in metrics for term, text in metric.glossary.items()
        },
        "pictures": sketches.PAGE,
        "rounded": _rounded(metrics),
        "has_accuracy": TOP1 in metrics,
        "sections": sections,
        "others": other_evaluators(runs, sections),
        "not_measured": not_measured(runs),
        "bad_videos": bad_videos(runs),
        "details": details(runs),
    }


def _rounded(metrics: Sequence[Metric]) -> dict[float, list[str]]:
    """The resolutions of metrics, and which metrics have them."""
    found: dict[float, list[str]] = {}
    for metric in metrics:
        titles = found.setdefault(metric.resolution, []) if metric.resolution else []
        if metric.title not in titles:
            titles.append(metric.title)
    return found


def read_runs(run_dirs: Sequence[str | Path]) -> list[RunResults]:
    """Read runs, with names that tell them apart: where several have one, the folder is added, if need be the column.

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
