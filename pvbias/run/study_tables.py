"""Tables of a paper beside those of a study, and the options of studies on real data sets.

For the scripts in ``projects/``; not a command of its own.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigError, did_you_mean
from .study import Study

#: A paper's figure (None: it has none), and ours of each seed.
Pair = tuple[float | None, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class StudyTables:
    """What a study's tables are made from; subclasses make its runs.

    Attributes:
        study: where the runs are, and how they are made.
        data: folder of the data sets' folders; None: nothing is run.
        seeds: of the trainings.
        weights: of networks that are trained already, by the name of their training: tested instead of trained.
    """

    study: Study
    data: Path | None
    seeds: tuple[int, ...]
    weights: Mapping[str, str] = field(default_factory=dict)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a study's runs are made from: ``--data`` and ``--weights``."""
    parser.add_argument("--data", type=Path, help="folder of the data sets' folders; without it nothing is run")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="weights of networks that are trained already, by the name of their training",
    )


def read_weights(given: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """What ``--weights`` says: weights by the name of the training that they take the place of.

    Raises:
        ConfigError: not NAME=FILE, or no training has the name.
    """
    weights: dict[str, str] = {}
    for each in given:
        name, equals, file = each.partition("=")
        if not equals or not file:
            raise ConfigError(f"--weights {each!r} must be NAME=FILE.")
        if name not in names:
            raise ConfigError(f"--weights {each!r}: no training is called {name!r}. {did_you_mean(name, list(names))}")
        # Runs are made from wherever they are started; names in a zoo and addresses stay as they are.
        weights[name] = str(Path(file).resolve()) if Path(file).exists() else file
    return weights


def write_tables(study: Study, tables: Mapping[str, Callable[[], str]]) -> None:
    """Make tables one after another, write each as ``NAME.md`` below ``study.out``, and print it.

    With ``study.dry_run`` they are made for the commands that they print, and nothing is written.
    """
    for name, make in tables.items():
        text = make()
        if not study.dry_run:
            study.out.mkdir(parents=True, exist_ok=True)
            (study.out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
            print(f"\n{name}\n\n{text}", flush=True)


def side_by_side(
    first: str, columns: Sequence[str], rows: Mapping[str, Sequence[Pair]], *, digits: int | Sequence[int] = 2
) -> str:
    """A Markdown table: for each column the paper's figure and ours (mean and range over seeds; empty: not run).

    Args:
        first: head of the rows' names.
        columns: heads of the columns.
        rows: a pair a column.
        digits: behind the point, of all columns or of each.
    """
    places = [digits] * len(columns) if isinstance(digits, int) else digits
    heads = [first, *(head for column in columns for head in (column, "ours"))]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, pairs in rows.items():
        cells = [
            cell
            for (paper, ours), place in zip(pairs, places, strict=True)
            for cell in ("" if paper is None else f"{paper:.{place}f}", spread(ours, place))
        ]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and range over seeds."""
    if not values:
        return ""
    mean, low, high = (f"{value:.{digits}f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"
