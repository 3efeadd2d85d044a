"""The end of the page: missing figures, bad videos, and the settings of each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import evaluators_in_words, ordered
from .metric import metric_of
from .results import RunResults
from .tables import level_words


def not_measured(runs: Sequence[RunResults]) -> list[tuple[str, str, str]]:
    """Missing figures as (run, evaluator or figure, reason)."""
    found = []
    titles = evaluators_in_words()
    for run in runs:
        for evaluator, result in run.results.items():
            if result.not_applicable:
                title = titles.get(evaluator, evaluator.replace("_", " "))
                found.append((run.name, title, result.not_applicable))
            undefined = {(f.name, f.variant, f.note) for f in result.figures if f.value is None and f.level == "video"}
            for figure in result.figures:
                told = figure.level == "clip" and (figure.name, figure.variant, figure.note) in undefined
                if figure.value is None and not told:
                    metric = metric_of(evaluator, figure.name)
                    what = f"{metric.title}, {metric.variant_words(figure.variant)}, {level_words(figure.level)}"
                    found.append((run.name, what, figure.note or "no reason given"))
    return found


def bad_videos(runs: Sequence[RunResults]) -> list[tuple[str, int, list[tuple[str, int]], list[dict[str, str]]]]:
    """(run, number of videos tried, counts by cause, the first 50) for each run that left videos out."""
    found = []
    for run in runs:
        if run.bad_videos:
            causes = Counter(str(bad.get("cause", "unknown")) for bad in run.bad_videos)
            tried = run.num_videos + len(run.bad_videos)
            found.append((run.name, tried, causes.most_common(), [_bad_row(bad) for bad in run.bad_videos[:50]]))
    return found


def details(runs: Sequence[RunResults]) -> list[tuple[str, list[str], bool]]:
    """Settings as (name, value for each run, whether they differ)."""
    fields: list[tuple[str, Callable[[RunResults], Any]]] = [
        ("Model", lambda run: run.model),
        ("Classes", lambda run: run.num_classes),
        ("Weights", lambda run: run.weights),
        ("Weights loaded", lambda run: run.load_summary),
        ("Trained with", lambda run: run.training or "–"),
        ("Data", lambda run: run.data),
        ("Fingerprint of the data", lambda run: run.data_fingerprint),
        ("Videos measured", lambda run: f"{run.num_videos:,}"),
        ("Videos left out", lambda run: len(run.bad_videos)),
        ("Clips", lambda run: run.sampling),
        ("Views of a video", lambda run: run.views),
        ("Precision", lambda run: run.precision),
        ("Seed", lambda run: run.seed),
        ("Began", lambda run: run.date),
        ("Took", lambda run: _duration(run.duration_seconds)),
        ("Command", lambda run: run.command),
    ]
    rows = [(what, [str(value(run)) for run in runs]) for what, value in fields]
    for key in ordered(key for run in runs for key in run.settings if key != "precision"):
        rows.append((f"Machine: {key.replace('_', ' ')}", [str(run.settings.get(key, "–")) for run in runs]))
    for key in ordered(key for run in runs for key in run.versions):
        rows.append((f"Version: {key}", [run.versions.get(key, "–") for run in runs]))
    return [(what, values, len(set(values)) > 1) for what, values in rows]


def _bad_row(bad: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(bad.get(key, "")) for key in ("name", "cause", "detail")}


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
