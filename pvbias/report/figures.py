"""Look-up of figures in the results of runs: by metric, by section, by headline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.results import Figure, Result
from ..registries import METRIC, REPORT_SECTION
from .metric import Headline, Metric, metric_of
from .results import RunResults

#: A figure's name, level and variant.
Key = tuple[str, str, str]

#: In the order in which readers want them.
LEVELS = ("video", "clip", "model")


@dataclass(frozen=True)
class Measured:
    """A figure of a run, with its evaluator."""

    evaluator: str
    figure: Figure

    @property
    def metric(self) -> Metric:
        """The metric of the figure."""
        return metric_of(self.evaluator, self.figure.name)

    @property
    def key(self) -> Key:
        """The key of the figure among those of its evaluator."""
        return self.figure.name, self.figure.level, self.figure.variant


#: Figures of a run by name, level and variant.
Index = dict[Key, Measured]


def ordered(items: Iterable[Any]) -> list[Any]:
    """Each item once, in order of first appearance."""
    return list(dict.fromkeys(items))


def result_of(run: RunResults, evaluator: str) -> Result:
    """An evaluator's result; an empty one where the run did not ask for it."""
    return run.results.get(evaluator) or Result()


def all_figures(run: RunResults) -> Iterator[Measured]:
    """The figures of all evaluators."""
    for evaluator, result in run.results.items():
        for figure in result.figures:
            yield Measured(evaluator, figure)


def find(run: RunResults, metric: Metric, variant: str, *, level: str = "") -> Figure | None:
    """Find the run's figure of a metric, with a defined value; without ``level``, the video-level one, else the
    clip-level one. Where the video-level one is undefined there is none: the clip-level one beside other figures of
    video level would pass for it."""
    found = _find(run, metric, variant, level)
    return found.figure if found is not None and found.figure.value is not None else None


def _find(run: RunResults, metric: Metric, variant: str, level: str = "") -> Measured | None:
    """:func:`find`, also where the value is undefined."""
    named = [own for own in all_figures(run) if own.figure.variant == variant and own.metric is metric]
    for wanted in [level] if level else LEVELS:
        found = [own for own in named if own.figure.level == wanted]
        if found:
            return next((own for own in found if own.figure.value is not None), found[0])
    return None


def find_headline(run: RunResults, metric: Metric, headline: Headline) -> Measured | None:
    """Find the figure that a headline shows: of the variants that it fits the first that has a value, else the
    first."""
    variants = ordered(
        own.figure.variant for own in all_figures(run) if headline.matches(own.figure.variant) and own.metric is metric
    )
    found = [own for variant in variants if (own := _find(run, metric, variant)) is not None]
    return next((own for own in found if own.figure.value is not None), found[0] if found else None)


def measured_metrics(runs: Sequence[RunResults]) -> list[Metric]:
    """The registered metrics that any of the runs has figures of, by their place."""
    registered = {id(metric): metric for _, metric in METRIC}
    present = {id(own.metric) for run in runs for own in all_figures(run)}
    return sorted((registered[each] for each in present & registered.keys()), key=lambda each: (each.place, each.title))


def headline_figures(run: RunResults) -> dict[str, Measured]:
    """The headline figures of a run by title; undefined ones, too."""
    found: dict[str, Measured] = {}
    for metric in measured_metrics([run]):
        for headline in metric.headlines:
            own = find_headline(run, metric, headline)
            if own is not None:
                title = headline.words(metric, own.figure.variant)
                found[title if title not in found else f"{title} ({own.evaluator})"] = own
    return found


def section_of(own: Measured) -> str:
    """The registered section whose table has a figure: the metric's, else the first that shows its evaluator's results;
    empty where there is none."""
    if own.metric.section in REPORT_SECTION:
        return own.metric.section
    claiming = [(section.place, name) for name, section in REPORT_SECTION if own.evaluator in section.evaluators]
    return min(claiming)[1] if claiming else ""


def evaluators_in_words() -> dict[str, str]:
    """Titles of the evaluators whose results are in a registered section."""
    return {name: title for _, section in REPORT_SECTION for name, title in section.evaluators.items()}


def index(figures: Iterable[Measured]) -> Index:
    """Index figures by key; of two for the same thing, the first."""
    found: Index = {}
    for own in figures:
        found.setdefault(own.key, own)
    return found


def metric_index(run: RunResults, metric: Metric) -> Index:
    """All figures of the evaluators that measure a metric."""
    evaluators = {own.evaluator for own in all_figures(run) if own.metric is metric}
    return index(own for own in all_figures(run) if own.evaluator in evaluators)


def section_indices(runs: Sequence[RunResults], name: str) -> list[Index]:
    """The figures of each run that a section has, in the order of its evaluators; others' come after them."""
    evaluators = [*REPORT_SECTION.get(name).evaluators]

    def place(own: Measured) -> int:
        return evaluators.index(own.evaluator) if own.evaluator in evaluators else len(evaluators)

    return [index(sorted((own for own in all_figures(run) if section_of(own) == name), key=place)) for run in runs]
