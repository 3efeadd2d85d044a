"""Late fusion of runs: the weighted mean of several models' predictions on the same videos, as of one on RGB and one on
flow."""

from __future__ import annotations

import argparse
import hashlib
import math
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tabulate import tabulate

from pvbias.evaluation import Predictions, Result
from pvbias.evaluation.late_fusion import Stream, evaluate_accuracy, evaluate_predictions, fuse, on_common_videos
from pvbias.report import RunResults, read_predictions, read_results, write_report, write_results
from pvbias.report.console import headline_table
from pvbias.report.folder import read_document, refuse_run
from pvbias.storage.addresses import on_a_disk
from pvbias.versions import versions

EXAMPLES = """examples:
  pvbias fuse runs/rgb runs/flow --out runs/two_stream
  pvbias fuse runs/rgb runs/flow --weights 1 1.5 --out runs/two_stream
  pvbias compare runs/rgb runs/flow runs/two_stream --out runs/comparison

All figures are those of the videos that every run has: accuracy, and whatever else all runs have measured that follows
from predictions alone (on shuffled, reversed and frozen clips: the dynamic score, the agreement, accuracies).
Results: OUT/report.html, OUT/results.json, OUT/tables/*.csv, OUT/predictions.npz."""

#: How the results of a fusion say where their weights are from.
_FUSED = "late fusion of "


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    started = time.time()
    parser = argparse.ArgumentParser(
        prog="pvbias fuse",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of measured runs (with a predictions.npz)")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="of each run, above 0 (default: all 1)")
    parser.add_argument("--out", required=True, type=on_a_disk, help="folder for the results")
    args = parser.parse_args(argv)
    args.out = Path(args.out)
    weights = args.weights or [1.0] * len(args.runs)
    if len(args.runs) < 2:
        parser.error("give at least two runs")
    if len(weights) != len(args.runs):
        parser.error(f"give one weight for each run: there are {len(args.runs)} runs and {len(weights)} weights")
    if not all(0 < weight < math.inf for weight in weights):
        parser.error("weights must be numbers above 0")
    if args.out.resolve() in [Path(folder).resolve() for folder in args.runs]:
        parser.error(f"--out {args.out} is one of the runs: its results would be lost")
    _refuse_other_runs(args.out)
    runs = [read_results(folder) for folder in args.runs]
    all_videos = _streams(args.runs, runs, weights)
    streams = on_common_videos(all_videos, folder=args.out)
    left_out = [
        len(own.predictions.names) - len(common.predictions.names)
        for own, common in zip(all_videos, streams, strict=True)
    ]
    fused = fuse(streams, folder=args.out)
    seed = runs[0].seed
    results = evaluate_accuracy(streams, fused, left_out, seed=seed)
    results |= evaluate_predictions(streams, fused, seed=seed, folder=args.out)
    run = replace(
        _describe(streams, runs, results),
        name=args.out.resolve().name,
        date=datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds"),
        duration_seconds=time.time() - started,
        command=shlex.join(["pvbias", "fuse", *argv]),
    )
    write_results(args.out, run)
    page = write_report(args.out)
    print(tabulate(results["late_fusion"].tables["runs"], headers="keys", floatfmt=".4g"))
    print(f"\n{headline_table([run])}\n")
    print(page)
    return 0


def _refuse_other_runs(out: Path) -> None:
    """Raise ConfigError where a folder holds other results of a run than an earlier fusion, which this one replaces."""
    if not read_document(out).get("run", {}).get("weights", _FUSED).startswith(_FUSED):
        refuse_run(out)


def _streams(folders: Sequence[str], runs: Sequence[RunResults], weights: Sequence[float]) -> list[Stream]:
    names = [run.name for run in runs]
    return [
        Stream(
            name=run.name if names.count(run.name) == 1 else folder,
            weight=weight,
            predictions=read_predictions(folder),
            results=run.results,
        )
        for folder, run, weight in zip(folders, runs, weights, strict=True)
    ]


def _describe(streams: Sequence[Stream], runs: Sequence[RunResults], results: dict[str, Result]) -> RunResults:
    """The fused run: results and settings, those that the runs do not agree in side by side."""
    fused = results["accuracy"].predictions
    assert fused is not None
    fingerprints, spans = {run.data_fingerprint for run in runs}, {run.clip_seconds for run in runs}
    videos = repr((fused.names, fused.labels.tolist(), fused.class_names)).encode()
    return RunResults(
        name="",
        model=_joined(run.model for run in runs),
        num_classes=fused.probabilities.shape[1],
        num_videos=len(fused.names),
        data_fingerprint=fingerprints.pop() if len(fingerprints) == 1 else hashlib.sha256(videos).hexdigest(),
        label_fingerprints=runs[0].label_fingerprints if len({str(r.label_fingerprints) for r in runs}) == 1 else [],
        weights=_FUSED + ", ".join(f"{stream.name} (weight {stream.weight:g})" for stream in streams),
        cautions=[
            f"{stream.name}: {caution}" for stream, run in zip(streams, runs, strict=True) for caution in run.cautions
        ],
        class_names=fused.class_names,
        data=_joined(run.data for run in runs),
        sampling=_joined(run.sampling for run in runs),
        clip_seconds=spans.pop() if len(spans) == 1 else None,
        views=_joined(run.views for run in runs),
        precision=_joined(run.precision for run in runs),
        seed=runs[0].seed,
        versions=versions(),
        results=results,
        videos=_videos(fused),
    )


def _videos(fused: Predictions) -> dict[str, bool]:
    """The videos, and whether they have labels; nothing where names do not tell them apart, as those of parts."""
    videos = {name: bool(label >= 0) for name, label in zip(fused.names, fused.labels, strict=True)}
    return videos if len(videos) == len(fused.names) else {}


def _joined(values: Iterable[str]) -> str:
    """Each value once."""
    return " / ".join(dict.fromkeys(values))
