"""What the page shows of one run or several: plain values and finished plots, section by section, for the template.

Every function takes the runs in the order of their columns and returns None (or an empty list) where no run has
anything to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.results import Figure
from . import plots, words
from .differences import labels_differ
from .results import RunResults
from .tables import (
    LEVELS,
    FigureTable,
    Key,
    Table,
    all_figures,
    cell,
    figure_indices,
    figure_table,
    find,
    level_words,
    ordered,
    result_of,
    text_table,
    title_for,
)

#: The evaluators that the page knows; a plugin's own get the general section.
ACCURACY, BY_VARIANT, DISTILLED, DYNAMIC, DATASET_BIAS, ASDT, SELF_CONVOLUTION, SAMPLES = (
    "accuracy",
    "modulated_accuracy",
    "dynamic_score_distill",
    "dynamic_score",
    "dataset_bias",
    "asdt",
    "self_convolution",
    "sample_clips",
)
#: What a run's training is called beside its evaluators.
TRAINING = "training"
KNOWN = {ACCURACY, BY_VARIANT, DISTILLED, DYNAMIC, DATASET_BIAS, ASDT, SELF_CONVOLUTION, SAMPLES, TRAINING}


@dataclass
class Section:
    """Plots, as (caption, SVG), figures, and tables behind them."""

    plots: list[tuple[str, str]]
    figures: FigureTable
    tables: list[Table] = field(default_factory=list)


@dataclass
class Card:
    """The headline of one run."""

    name: str
    model: str
    color: int
    readings: list[tuple[str, words.Reading]]
    numbers: list[tuple[str, str, str, str]]  # what, value, interval, unit
    missing: str


def headline(runs: Sequence[RunResults]) -> list[Card]:
    """A card for each run."""
    return [_card(run, color) for color, run in enumerate(runs)]


@dataclass(frozen=True)
class _Condition:
    """What has to be the same for figures of several runs to be compared.

    Attributes:
        warning: what the page says where it is not.
        why: the same as a part of a sentence; empty where figures can be compared nevertheless, with care.
        value: what a run did.
    """

    warning: str
    why: str
    value: Callable[[RunResults], str]


_CONDITIONS = (
    _Condition(
        "The videos are not the same: figures differ because of the data as well as the model.",
        "the videos are not the same",
        lambda run: f"{words.counted(run.num_videos, 'video')}, fingerprint {run.data_fingerprint[:12]}",
    ),
    _Condition(
        "Clips were sampled differently, and dynamic scores grow with the time a clip covers: do not compare them.",
        "clips were sampled differently",
        lambda run: run.sampling + (f" ({run.clip_seconds:.2f} s)" if run.clip_seconds else ""),
    ),
    _Condition(
        "Videos were seen in different views: do not compare video-level figures.",
        "videos were seen in different views",
        lambda run: run.views,
    ),
    _Condition(
        "The models tell different numbers of classes apart: accuracies and scores are not on the same scale.",
        "the models tell different numbers of classes apart",
        lambda run: words.counted(run.num_classes, "class"),
    ),
    _Condition(
        "Number formats differ: small differences between scores may come from rounding.",
        "",
        lambda run: run.precision,
    ),
)


def _conditions(runs: Sequence[RunResults]) -> list[_Condition]:
    """Those that the runs do not meet."""
    conditions = list(_CONDITIONS)
    if len({run.data_fingerprint for run in runs}) == 1 and labels_differ(runs):
        by_name = all(run.label_fingerprints[1] for run in runs)
        labels = _Condition(
            "The videos are labelled differently: accuracies differ because of that as well as the model.",
            "the videos are labelled differently",
            lambda run: f"labels with the fingerprint {run.label_fingerprints[by_name][:12]}",
        )
        conditions.insert(1, labels)
    return [condition for condition in conditions if len({condition.value(run) for run in runs}) > 1]


def cautions(runs: Sequence[RunResults]) -> list[tuple[int, str]]:
    """What is to be known before any figure: (column of the run, sentence)."""
    return [(column, caution) for column, run in enumerate(runs) for caution in run.cautions]


def warnings(runs: Sequence[RunResults]) -> list[tuple[str, list[str]]]:
    """What keeps the figures of these runs from being compared just like that: (warning, what each run did)."""
    return [(condition.warning, [condition.value(run) or "unknown" for run in runs]) for condition in _conditions(runs)]


def unlike(runs: Sequence[RunResults]) -> list[str]:
    """Why these runs cannot be put in order, as parts of a sentence; empty where they can."""
    return [condition.why for condition in _conditions(runs) if condition.why]


def accuracy(runs: Sequence[RunResults]) -> Section | None:
    """Top-1 and top-5 by variant, and the log ratios."""
    return _by_variant(
        runs,
        (ACCURACY, BY_VARIANT),
        "top1",
        caption="Top-1 accuracy by variant",
        alt="top-1 accuracy for each variant of the clips",
        axis="top-1 accuracy, %",
        prefix="accuracy",
        limit=100,
        chance=[100.0 / run.num_classes for run in runs if run.num_classes],
    )


def dynamics(runs: Sequence[RunResults]) -> Section | None:
    """Dynamic scores (distilled, frozen, shuffled), agreement, dataset bias, and how the students were trained."""
    section = _by_variant(
        runs,
        (DISTILLED, DYNAMIC, DATASET_BIAS),
        "dynamic_score",
        caption="Dynamic score",
        alt="dynamic score",
        axis="dynamic score, nats",
        least=words.SLIGHT,
        prefix="dynamic",
    )
    if section is not None:
        section.tables = [
            text_table(title_for(title, run, runs), rows)
            for evaluator in (DISTILLED, DATASET_BIAS)
            for title in [f"Training of the student, {words.figure_words(evaluator)}"]
            for run in runs
            if (rows := result_of(run, evaluator).tables.get("student_training"))
        ]
    return section


def _by_variant(
    runs: Sequence[RunResults],
    evaluators: Sequence[str],
    name: str,
    *,
    caption: str,
    alt: str,
    prefix: str,
    **options: Any,
) -> Section | None:
    """All figures of some evaluators, and bars of the one called ``name``: a bar a variant, a plot a level.

    ``options`` are those of :func:`pvbias.report.plots.interval_bars`.
    """
    figures = figure_indices(runs, evaluators)
    section = Section([], figure_table(runs, evaluators))
    for level in LEVELS[:2]:
        variants = ordered(key[2] for index in figures for key in index if key[:2] == (name, level))
        if not variants:
            continue
        keys = [(name, level, variant) for variant in variants]
        plot = plots.interval_bars(
            [words.variant_words(variant) for variant in variants],
            [_series(runs, figures, run, keys) for run in range(len(runs))],
            prefix=f"{prefix}-{level}",
            alt=f"Bar chart: {alt}, {level_words(level)}",
            **options,
        )
        section.plots.append((f"{caption}, {level_words(level)}", plot))
    return section if section.figures.blocks else None


def other_evaluators(runs: Sequence[RunResults]) -> list[tuple[str, FigureTable, list[Table]]]:
    """Figures and tables of evaluators that the page knows nothing of: (name, figures, tables)."""
    found = []
    for evaluator in ordered(name for run in runs for name in run.results if name not in KNOWN):
        figures = figure_table(runs, (evaluator,))
        tables = [
            text_table(title_for(name, run, runs), rows, result_of(run, evaluator).images)
            for run in runs
            for name, rows in result_of(run, evaluator).tables.items()
            if rows
        ]
        if figures.blocks or tables:
            found.append((evaluator, figures, tables))
    return found


def not_measured(runs: Sequence[RunResults]) -> list[tuple[str, str, str]]:
    """(run, measurement, why there is no figure), for whole measurements and for single undefined figures."""
    found = []
    for run in runs:
        for evaluator, result in run.results.items():
            if result.not_applicable:
                found.append((run.name, words.figure_words(evaluator), result.not_applicable))
            undefined = {(f.name, f.variant, f.note) for f in result.figures if f.value is None and f.level == "video"}
            for figure in result.figures:
                told = figure.level == "clip" and (figure.name, figure.variant, figure.note) in undefined
                if figure.value is None and not told:
                    name, variant = words.figure_words(figure.name), words.variant_words(figure.variant)
                    what = f"{name}, {variant}, {level_words(figure.level)}"
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
    """(what, value for each run, whether they differ)."""
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


def _card(run: RunResults, color: int) -> Card:
    original, shuffled = find(run, "top1", "original"), find(run, "top1", "shuffle")
    if original and shuffled and original.level != shuffled.level:
        shuffled = find(run, "top1", "shuffle", level=original.level)
    ratio = find(run, "log_ratio", "shuffle")
    frozen = next((f for f in all_figures(run) if f.name == "dynamic_score" and _is_main_freeze(f)), None)
    distilled = find(run, "dynamic_score", "distill")
    score = frozen or find(run, "dynamic_score", "shuffle") or distilled
    readings = []
    guessing = original is not None and words.is_guessing(original, run.num_classes)
    if original and shuffled:
        readings.append(("order", words.read_shuffling(original, shuffled, ratio, run.num_classes)))
    if score:
        agreement = find(run, "agreement", score.variant, level=score.level)
        readings.append(("motion", words.read_dynamic_score(score, agreement, guessing=guessing)))
    numbers = []
    for what, figure in headline_figures(run):
        if figure.value is None:
            numbers.append((what, "–", "undefined", ""))
        else:
            shown, unit = cell(figure), "" if figure.unit == "log ratio" else figure.unit
            numbers.append((what, shown.value, shown.interval, "" if shown.value == "none" else unit))
    missing = "" if original else result_of(run, BY_VARIANT).not_applicable or result_of(run, ACCURACY).not_applicable
    return Card(run.name, run.model, color, readings, numbers, missing)


def headline_figures(run: RunResults) -> list[tuple[str, Figure]]:
    """The figures of a run that are shown before all others, by what they are called there; an undefined log ratio
    among them."""
    frozen = next((f for f in all_figures(run) if f.name == "dynamic_score" and _is_main_freeze(f)), None)
    found = [
        ("top-1 accuracy", find(run, "top1", "original")),
        ("log ratio, shuffled", find(run, "log_ratio", "shuffle") or _undefined(run, "log_ratio", "shuffle")),
        ("dynamic score, distilled", find(run, "dynamic_score", "distill")),
        (f"dynamic score, {words.frozen(frozen.variant)}" if frozen else "", frozen),
        ("dynamic score, shuffled", find(run, "dynamic_score", "shuffle")),
        ("dataset bias", find(run, DATASET_BIAS, "original")),
    ]
    return [(what, figure) for what, figure in found if figure is not None]


def _undefined(run: RunResults, name: str, variant: str) -> Figure | None:
    return next((figure for figure in all_figures(run) if (figure.name, figure.variant) == (name, variant)), None)


def _bad_row(bad: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(bad.get(key, "")) for key in ("name", "cause", "detail")}


def _is_main_freeze(figure: Figure) -> bool:
    return figure.variant.startswith("freeze") and figure.level == "video" and figure.value is not None


def _series(
    runs: Sequence[RunResults], figures: Sequence[dict[Key, Figure]], run: int, keys: Sequence[Key]
) -> plots.Series:
    values = []
    for key in keys:
        figure = figures[run].get(key)
        low, high = figure.interval if figure and figure.interval else (None, None)
        values.append(plots.Value(figure.value if figure else None, low, high, words.shown(figure) if figure else ""))
    return plots.Series(run, runs[run].name, values)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
