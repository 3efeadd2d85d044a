"""The contract of a metric: title, headlines, direction, interpretation and ranking of an evaluator's figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ..clips import ORIGINAL, modulation_label
from ..errors import ConfigError
from ..registries import METRIC

if TYPE_CHECKING:
    from ..evaluation.results import Figure
    from .results import RunResults

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A figure that is shown first: on the card of a run and on the console.

    Attributes:
        variant: which modulation's, an exact name or a pattern of :mod:`fnmatch` (``freeze*``): the first variant of
            the run that it fits and that has a value.
        title: what it is called there, or a function of the variant's name; empty: the metric's title, and the variant
            in words where it is not the original.
    """

    variant: str = ORIGINAL
    title: str | Callable[[str], str] = ""

    def matches(self, variant: str) -> bool:
        """Whether the headline shows figures of this variant."""
        return fnmatchcase(variant, self.variant)

    def words(self, metric: Metric, variant: str) -> str:
        """The title."""
        if callable(self.title):
            return self.title(variant)
        named = metric.title if variant == ORIGINAL else f"{metric.title}, {metric.variant_words(variant)}"
        return self.title or named


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Ranking of several runs by a metric, in a sentence above a comparison.

    ::

        “NAME” {answer} ({title} 1.20), “OTHER” least (0.11); difference +1.10 [+0.92, +1.31].
        Which run {question} cannot be told from these videos: {title}s from 0.51 to 0.53 (difference ...).

    "most" in place of "least" where lower is better.

    Attributes:
        question: as in "uses the order of frames more". Of several metrics with the same question the first, by
            :attr:`Metric.place`, that all runs have figures of answers it.
        answer: what the best run does, as in "uses the order of frames most".
        variant: the modulation whose video-level figure decides, as in :class:`Headline`.
        title: what the metric is called there; empty: its title.
    """

    question: str
    answer: str
    variant: str = ORIGINAL
    title: str = ""


@dataclass(frozen=True)
class Reading:
    """Interpretation of a figure in words.

    Attributes:
        verdict: a few words, fit for a heading.
        explanation: a sentence or two with the numbers.
        caveat: why the verdict is not to be trusted fully; empty when it is.
        topic: what it is about, above the verdict; empty: the metric's title.
    """

    verdict: str
    explanation: str
    caveat: str = ""
    topic: str = ""


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A metric as a function of figures that are means over videos, so that it can be computed over a part of the
    videos, and the difference of two runs on the same videos has an interval.

    Attributes:
        parts: the (name, variant) of the figures that a variant's figure is computed of; the same evaluator's, at the
            same level.
        figure: ``figure(template, *parts, samples=, seed=)``: the figure with its interval; ``template`` lacks value,
            interval and count, ``parts`` are float64 ``(n,)`` over the same videos, n >= 1.
        interval: ``interval(*first, *second, samples=, seed=)``: 95 % interval of the second run's figure less the
            first one's, or None; ``first`` and ``second`` are the parts of either run, float64 ``(n,)`` over the same
            videos.
    """

    parts: Callable[[str], tuple[tuple[str, str], ...]]
    figure: Callable[..., Figure]
    interval: Callable[..., Interval | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """Description of a figure for the page; registered in METRIC as ``EVALUATOR/FIGURE``.

    One metric that several evaluators measure is registered for each of them: figures of the same metric are the same
    thing. A figure that nobody has registered goes by its name, in a section of its evaluator.

    Attributes:
        title: the figure's name in words, in small letters unless it is an abbreviation.
        headlines: which of its figures are on the card and on the console; none: it is in the tables only.
        place: where it comes among other metrics' headlines and readings, the lowest first. pvbias's own are below
            1000.
        higher_is_better: the direction of its headline figures (without headlines: of those on the original clips);
            None: neither is. It says nothing of other variants: more accuracy on shuffled clips is not better.
        ranking: how comparisons put runs in order by it; takes a direction.
        read: what a run's figures of it say, for the card; may return None.
        section: name of the section (REPORT_SECTION) whose table has it; empty, or where no such section is
            registered: the section of its evaluator.
        resolution: values nearer to 0 than this are shown as "none": rounding may be as large. In the figure's unit.
        variants: its own variants in words, where they are no modulations.
        glossary: explanations for the box "How to read this", by term.
        pictures: of what each term sees, inline SVG by term (:mod:`.sketches` draws them).
        derived: how it follows from means, where it is none itself.
    """

    title: str
    headlines: tuple[Headline, ...] = ()
    place: int = 1000
    higher_is_better: bool | None = None
    ranking: Ranking | None = None
    read: Callable[[RunResults], Reading | None] | None = None
    section: str = ""
    resolution: float = 0.0
    variants: Mapping[str, str] = field(default_factory=dict)
    glossary: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    derived: Derived | None = None

    def __post_init__(self) -> None:
        if self.ranking is not None and self.higher_is_better is None:
            raise ConfigError(f"The metric {self.title!r} has a ranking and no direction: set higher_is_better.")

    @property
    def description(self) -> str:
        """The line of ``pvbias list metrics``."""
        direction = {True: "higher is better", False: "lower is better", None: ""}[self.higher_is_better]
        return "; ".join(filter(None, (self.title, direction)))

    def direction(self, variant: str) -> str:
        """ "higher" or "lower", whichever is better for figures of this variant; empty where neither is."""
        if self.higher_is_better is None or not any(each.matches(variant) for each in self.headlines or (Headline(),)):
            return ""
        return "higher" if self.higher_is_better else "lower"

    def variant_words(self, variant: str) -> str:
        """A variant's name in words."""
        return self.variants.get(variant) or modulation_label(variant)


def metric_of(evaluator: str, figure: str) -> Metric:
    """The metric of an evaluator's figure; one that goes by the figure's name where none is registered."""
    name = f"{evaluator}/{figure}"
    return METRIC.get(name) if name in METRIC else Metric(title=figure.replace("_", " "))
