"""The contract of a section of the page, and the usual content: plots, figures, and tables behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..registries import REPORT_SECTION
from . import plots
from .figures import LEVELS, Index, Key, Measured, all_figures, ordered, result_of, section_indices, section_of
from .results import RunResults
from .tables import FigureTable, Table, figure_table, level_words, shown, text_table, title_for, without_repeated_clips


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page of one run or several, registered in REPORT_SECTION.

    Attributes:
        title: its heading; where what ``build`` returns has a ``title`` that is not empty, that one.
        build: what it shows of the runs, which are in the order of their columns; None where they have nothing to show.
            Without a template of its own a :class:`Content`, else anything that the template renders.
        place: where it comes on the page, the lowest first: accuracy is at 100, what is taken for what at 300, sample
            clips at 600, the training at 700. Evaluators that have no section follow all that are registered.
        template: a Jinja template's file, in the folder of the plugin: the section without its heading. It sees
            ``content``, what ``build`` returned, ``runs``, and as ``report`` the macros of
            ``pvbias/report/templates/macros.html``.
        evaluators: those whose results it shows, with their names in words; they get no section of their own.
    """

    title: str
    build: Callable[[Sequence[RunResults]], Any]
    place: int = 1000
    template: str | Path = "section.html"
    evaluators: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """The line of ``pvbias list sections``."""
        return f"{self.title} (place {self.place})"


@dataclass(kw_only=True)
class Content:
    """The content of a section without a template of its own.

    Attributes:
        title: a heading in place of the section's.
        lead: what a reader has to know first.
        plots: (caption, SVG), as :mod:`pvbias.report.plots` draws them.
        figures: see :func:`pvbias.report.tables.figure_table`.
        tables: folded below.
    """

    title: str = ""
    lead: str = ""
    plots: list[tuple[str, str]] = field(default_factory=list)
    figures: FigureTable | None = None
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True)
class BuiltSection:
    """A section that has something to show; ``name``: under which it is registered."""

    name: str
    title: str
    template: str
    content: Any


def build_sections(runs: Sequence[RunResults]) -> list[BuiltSection]:
    """Build the registered sections that the runs have something for, by their place."""
    found = []
    for name, section in sorted(REPORT_SECTION, key=lambda entry: (entry[1].place, entry[0])):
        content = section.build(runs)
        if content is not None:
            title = getattr(content, "title", "") or section.title
            found.append(BuiltSection(name, title, str(section.template), content))
    return found


def other_evaluators(
    runs: Sequence[RunResults], built: Sequence[BuiltSection]
) -> list[tuple[str, FigureTable, list[Table]]]:
    """Results of evaluators that are in none of the sections on the page: (name, figures, tables)."""
    on_page = {section.name for section in built}
    claimed = {evaluator for name in on_page for evaluator in REPORT_SECTION.get(name).evaluators}
    found = []
    for evaluator in ordered(name for run in runs for name in run.results if name not in claimed):
        figures = figure_table(runs, [_left_out(run, evaluator, on_page) for run in runs])
        tables = [
            text_table(title_for(name, run, runs), rows, result_of(run, evaluator).images)
            for run in runs
            for name, rows in result_of(run, evaluator).tables.items()
            if rows
        ]
        if figures.blocks or tables:
            found.append((evaluator, figures, tables))
    return found


def _left_out(run: RunResults, evaluator: str, on_page: set[str]) -> Index:
    own = (figure for figure in all_figures(run) if figure.evaluator == evaluator)
    return {figure.key: figure for figure in own if section_of(figure) not in on_page}


def figure_content(
    runs: Sequence[RunResults], section: str, bars: str, *, caption: str, alt: str, prefix: str, **options: Any
) -> Content | None:
    """All figures of a section, and bars of those called ``bars``: a bar a variant, a plot a level; None where no run
    has a figure.

    Args:
        section: under which it is registered.
        caption: of the plots, before the level.
        alt: what they show, for those who cannot see them.
        prefix: of the ids in their SVG, unique on the page.
        options: of :func:`pvbias.report.plots.interval_bars`.
    """
    indices = section_indices(runs, section)
    content = Content(figures=figure_table(runs, indices))
    indices = without_repeated_clips(indices)
    for level in LEVELS[:2]:
        found = [own for index in indices for own in index.values() if own.key[:2] == (bars, level)]
        by_variant = {own.figure.variant: own for own in found}
        if not by_variant:
            continue
        keys = [(bars, level, variant) for variant in by_variant]
        plot = plots.interval_bars(
            [own.metric.variant_words(variant) for variant, own in by_variant.items()],
            [_series(runs, indices, run, keys) for run in range(len(runs))],
            prefix=f"{prefix}-{level}",
            alt=f"Bar chart: {alt}, {level_words(level)}",
            **options,
        )
        content.plots.append((f"{caption}, {level_words(level)}", plot))
    return content if content.figures and content.figures.blocks else None


def differences_lead(runs: Sequence[RunResults]) -> str:
    """A sentence that explains the small figures in a comparison; empty for one run."""
    return f" Small figures are differences to “{runs[0].name}”." if len(runs) > 1 else ""


def _series(runs: Sequence[RunResults], indices: Sequence[Index], run: int, keys: Sequence[Key]) -> plots.Series:
    return plots.Series(run, runs[run].name, [_value(indices[run].get(key)) for key in keys])


def _value(own: Measured | None) -> plots.Value:
    if own is None:
        return plots.Value(None)
    low, high = own.figure.interval or (None, None)
    return plots.Value(own.figure.value, low, high, shown(own))
