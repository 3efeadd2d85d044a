"""Ranking of runs by their metrics, in a sentence each, or the reason why they cannot be ranked."""

from __future__ import annotations

from collections.abc import Sequence

from . import words
from .accuracy import guesses
from .comparability import unlike
from .differences import difference
from .figures import Key, Measured, find, find_headline, measured_metrics, metric_index
from .metric import Headline, Metric, Ranking
from .results import RunResults
from .tables import shown


def summary(runs: Sequence[RunResults]) -> list[str]:
    """The rankings of several runs, a sentence for each question that metrics rank by
    (:class:`pvbias.report.metric.Ranking`) and that all runs have figures for; none for one run.

    They are put in order where they were measured alike, none of them guesses, and the difference between the first and
    the last is more than chance: 0 lies outside its interval.
    """
    if len(runs) < 2:
        return []
    answers: dict[str, tuple[Metric, list[Measured]]] = {}
    for metric in measured_metrics(runs):
        if metric.ranking is not None and (figures := _figures(runs, metric, metric.ranking)):
            answers.setdefault(metric.ranking.question, (metric, figures))
    if not answers:
        return []
    if reasons := unlike(runs):
        return [f"The runs are not put in order: {_listed(reasons)}."]
    if guessing := [f"“{run.name}”" for run in runs if guesses(run)]:
        are = "is" if len(guessing) == 1 else "are"
        return [f"The runs are not put in order: {_listed(guessing)} {are} no better than guessing."]
    return [_sentence(runs, metric, figures) for metric, figures in answers.values()]


def _figures(runs: Sequence[RunResults], metric: Metric, ranking: Ranking) -> list[Measured]:
    """The video-level figure of each run, of the same variant; none where a run has none."""
    found = find_headline(runs[0], metric, Headline(variant=ranking.variant))
    if found is None:
        return []
    variant = found.figure.variant
    figures = [find(run, metric, variant, level="video") for run in runs]
    return [Measured(found.evaluator, figure) for figure in figures if figure is not None] if all(figures) else []


def _sentence(runs: Sequence[RunResults], metric: Metric, figures: Sequence[Measured]) -> str:
    ranking, sign = metric.ranking, 1 if metric.higher_is_better else -1
    assert ranking is not None
    order = sorted(range(len(runs)), key=lambda column: -sign * (figures[column].figure.value or 0.0))
    first, last = order[0], order[-1]
    texts = [_with_unit(shown(own), own.figure.unit) for own in figures]
    change, certain = _difference(runs[last], runs[first], metric, figures[first].key)
    called = ranking.title or metric.title
    if not certain:
        ends = [texts[last], texts[first]][::sign]
        between = f"{called} {ends[0]}" if ends[0] == ends[1] else f"{words.plural(called)} from {ends[0]} to {ends[1]}"
        apart = f" (difference {change})" if change else ""
        return f"Which run {ranking.question} cannot be told from these videos: {between}{apart}."
    return (
        f"“{runs[first].name}” {ranking.answer} ({called} {texts[first]}), “{runs[last].name}” "
        f"{'least' if metric.higher_is_better else 'most'} ({texts[last]}){f'; difference {change}' if change else ''}."
    )


def _difference(worse: RunResults, better: RunResults, metric: Metric, key: Key) -> tuple[str, bool]:
    """Describe the difference of the second run, with its interval; and whether it is better by more than chance and
    rounding."""
    figures = [metric_index(run, metric) for run in (worse, better)]
    change = difference(worse, figures[0], better, figures[1], key)
    if change is None or abs(change.value) < metric.resolution:
        return "", False
    if change.interval is None:
        lower, higher = figures if metric.higher_is_better else figures[::-1]
        ends = lower[key].figure.interval, higher[key].figure.interval
        return "", ends[0] is not None and ends[1] is not None and ends[0][1] < ends[1][0]
    value = _with_unit(words.number(change.value, change.unit, signed=True), change.unit)
    certain = change.interval[0] > 0 if metric.higher_is_better else change.interval[1] < 0
    return f"{value} {words.interval(change.interval, change.unit, signed=True)}", certain


def _with_unit(number: str, unit: str) -> str:
    """Scores and ratios have a unit that says nothing here."""
    return number if unit in ("", "log ratio", "nats") or number == "none" else f"{number} {unit}"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
