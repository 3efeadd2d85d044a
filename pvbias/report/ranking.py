"""Put runs in order by their use of motion, in one sentence, or say why that cannot be done."""

from __future__ import annotations

from collections.abc import Sequence

from . import words
from .differences import difference
from .results import RunResults
from .sections import ACCURACY, BY_VARIANT, DYNAMIC, unlike
from .tables import figure_index, find

#: What runs are put in order by, the first that all of them have: name, how it is called, what the most of it means.
_ORDERED_BY = (
    ("log_ratio", "log ratio", "uses the order of frames most"),
    ("dynamic_score", "dynamic score", "changes its predictions most when frames are shuffled"),
)


def summary(runs: Sequence[RunResults]) -> str:
    """Which of several runs uses the order of frames most; empty for one run, and where they have no figure for it.

    They are put in order where they were measured alike, none of them guesses, and the difference between the first and
    the last is more than chance: 0 lies outside its interval.
    """
    if len(runs) < 2:
        return ""
    for name, called, most_words in _ORDERED_BY:
        figures = [find(run, name, "shuffle", level="video") for run in runs]
        values = [figure.value for figure in figures if figure is not None and figure.value is not None]
        if len(values) < len(runs):
            continue
        if reasons := unlike(runs):
            return f"The runs are not put in order: {_listed(reasons)}."
        if guessing := [f"“{run.name}”" for run in runs if _guesses(run)]:
            are = "is" if len(guessing) == 1 else "are"
            return f"The runs are not put in order: {_listed(guessing)} {are} no better than guessing."
        order = sorted(range(len(runs)), key=lambda column: -values[column])
        first, last = order[0], order[-1]
        texts = [words.shown(figure) for figure in figures if figure is not None]
        change, certain = _difference(runs[last], runs[first], name)
        if not certain:
            low, high = texts[last], texts[first]
            between = f"{called} {low}" if low == high else f"{called}s from {low} to {high}"
            apart = f" (difference {change})" if change else ""
            return f"Which run uses the order of frames more cannot be told from these videos: {between}{apart}."
        return (
            f"“{runs[first].name}” {most_words} ({called} {texts[first]}), “{runs[last].name}” least "
            f"({texts[last]}){f'; difference {change}' if change else ''}."
        )
    return ""


def _guesses(run: RunResults) -> bool:
    original = find(run, "top1", "original")
    return original is not None and words.is_guessing(original, run.num_classes)


def _difference(low: RunResults, high: RunResults, name: str) -> tuple[str, bool]:
    """What the second run has more, with its interval, as text; whether that is more than chance and rounding."""
    key = (name, "video", "shuffle")
    figures = [figure_index(run, (ACCURACY, BY_VARIANT, DYNAMIC)) for run in (low, high)]
    change = difference(low, figures[0], high, figures[1], key)
    if change is None or abs(change.value) < words.RESOLUTION:
        return "", False
    if change.interval is None:
        ends = [found[key].interval for found in figures]
        if ends[0] is None or ends[1] is None:
            return "", False
        return "", ends[0][1] < ends[1][0]
    shown = words.number(change.value, change.unit, signed=True)
    return f"{shown} {words.interval(change.interval, change.unit, signed=True)}", change.interval[0] > 0


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
