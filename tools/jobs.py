"""List the jobs that were submitted with an output folder: state, attempt, last line of the log.

With --table the results of a sweep's runs in one table: what varies, and the accuracy and bias of whole videos. All
figures are in sweep.csv in the folder.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from pvbias.cluster import Job, find_jobs
from pvbias.cluster.jobs import current_states, explain, is_over
from pvbias.errors import DataError

#: Characters of a log line that are shown.
WIDTH = 80


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="OUTPUT_DIR of a submitted run or sweep, or a folder of such folders")
    parser.add_argument("--table", action="store_true", help="the results, in one table")
    args = parser.parse_args(argv)
    jobs = find_jobs(args.folder)
    if not jobs:
        raise DataError(f"No job was submitted with OUTPUT_DIR {args.folder!r}, or with one in there.")
    if args.table:
        print_table(jobs)
        return 0
    rows = [("job", "run", "state", "attempt", "last line")]
    for job, state in zip(jobs, current_states(jobs), strict=True):
        over = is_over(state) and state not in ("COMPLETED", "UNKNOWN")
        attempts, last_line = job.progress()
        line = explain(job, state).split("\n")[0] if over else last_line[:WIDTH]
        rows.append((job.id, Path(job.output_dir).name, state, str(attempts), line))
    _print(rows)
    return 0


def print_table(jobs: Sequence[Job]) -> None:
    """Print the figures of whole, unchanged videos, a row for each run; write all figures to ``sweep.csv``.

    A run that was submitted twice has one row, one without results empty cells.
    """
    from pvbias.report.results import FILE_NAME, read_results  # with torch, which a list of jobs does not wait for

    latest = {job.output_dir: job for job in jobs}
    rows: list[dict[str, str]] = []
    shown: dict[str, None] = {}
    for output_dir, job in latest.items():
        row = {"run": Path(output_dir).name} if not job.swept else dict(job.swept)
        shown |= dict.fromkeys(row)
        if (Path(output_dir) / FILE_NAME).exists():
            for evaluator, result in read_results(output_dir).results.items():
                for figure in result.figures:
                    title = f"{evaluator} {figure.name} {figure.level} {figure.variant}"
                    row[title] = "" if figure.value is None else f"{figure.value:.6g}"
                    if figure.level == "video":
                        shown[title] = None
        rows.append(row)
    if not any(set(row) - {"run", *job.swept} for row, job in zip(rows, latest.values(), strict=True)):
        raise DataError("None of the runs has results yet (`pvbias jobs` without --table says how far they are).")
    columns = list(dict.fromkeys(title for row in rows for title in row))
    path = Path(next(iter(latest.values())).folder).parent / "sweep.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    _print([tuple(shown), *(tuple(row.get(title, "") for title in shown) for row in rows)])
    print(path)


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
