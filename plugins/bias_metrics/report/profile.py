"""Profiles of kernel temporality over depth, of several networks on one page, beside the same architectures at random
weights.

``results.json`` is one object::

    {"format": "pvbias-profile/1",
     "architectures": [{every field of Architecture}, ...],
     "not_applicable": {model: why there is nothing to look at},
     "paper": [{every field of PaperFigure, "trends": [{every field of Trend}, ...]}, ...],  # where asked for
     "missing": {address: why the weights could not be had},  # likewise
     "command": the command line, "versions": {package: version}}
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from pvbias.evaluation import Figure
from pvbias.report import plots, words
from pvbias.report.folder import PAGE, RESULTS, refuse_run, write_files
from pvbias.report.tables import Cell, text_table
from pvbias.report.templating import render_template

from .headlines import KERNEL_METRICS
from .paper_figures import PaperFigure

FORMAT = "pvbias-profile/1"

_TEMPLATE = Path(__file__).with_name("templates") / "profile.html"

#: What is drawn: a figure of the whole network, the column of its layers' values, and the axis.
MEASURES = (
    ("relative_asdt", "relative_asdt", "relative ASDT"),
    ("temporal_channels", "temporal_share", "temporal channels, %"),
    ("asdt", "asdt", "ASDT"),
)
#: Columns whose values by the printed definition are drawn with them, dotted.
AS_PRINTED = {"temporal_share": "temporal_share_as_printed"}

_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 1.5))


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Kernel temporality of one network, layer by layer.

    Attributes:
        name: how the page calls it.
        weights: where they come from.
        load_summary: what was loaded and what was not; empty for random weights.
        figures: over all layers, and over the first and the last third of them.
        layers: a row for each layer with temporal kernels, first to last: ``depth``, ``layer``, ``kernel``,
            ``asdt``, ``temporal_share``, ``temporal_share_as_printed``, ...
    """

    name: str
    weights: str
    load_summary: str = ""
    figures: Sequence[Figure]
    layers: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Networks of one architecture.

    Attributes:
        model: its name in the registry MODEL.
        networks: with the weights in question; none where only the control is wanted.
        controls: with random weights, one for each seed, at least one.
    """

    model: str
    networks: Sequence[Profile]
    controls: Sequence[Profile]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Trend of a measure over the depth of one network.

    Attributes:
        name: of the network; of the architecture at random weights.
        column: the measure.
        num_layers: with temporal kernels.
        rank_correlation: Spearman's, of the measure and the layer's number: -1 falls with every layer, 1 rises with
            every layer. Random weights: the mean over seeds. None: of fewer than three layers, or of equal values.
        last_to_first: the mean over the last third of the layers over that of the first third; None where that is 0 or
            a third of the layers is none.
    """

    name: str
    column: str
    num_layers: int
    rank_correlation: float | None
    last_to_first: float | None


def trend(name: str, column: str, profiles: Sequence[Profile]) -> Trend:
    """The trend of one network, or the mean over several seeds of it."""
    series = [[row[column] for row in profile.layers] for profile in profiles]
    third = len(series[0]) // 3
    correlations = [
        float(stats.spearmanr(range(len(values)), values).statistic)
        for values in series
        if len(values) > 2 and len(set(values)) > 1
    ]
    ends = [(statistics.fmean(values[-third:]), statistics.fmean(values[:third])) for values in series if third]
    ratios = [last / first for last, first in ends if first]
    return Trend(
        name=name,
        column=column,
        num_layers=len(series[0]),
        rank_correlation=statistics.fmean(correlations) if correlations else None,
        last_to_first=statistics.fmean(ratios) if ratios else None,
    )


def write_profiles(
    out: str | Path,
    architectures: Sequence[Architecture],
    *,
    not_applicable: Mapping[str, str],
    command: str,
    versions: Mapping[str, str],
    paper: Sequence[PaperFigure] = (),
    missing: Mapping[str, str] | None = None,
) -> Path:
    """Write ``report.html`` and ``results.json`` below ``out`` (made when missing).

    Args:
        out: the folder.
        architectures: what was looked at, at least one.
        not_applicable: why there is nothing to look at, by model.
        command: the command line.
        versions: by package.
        paper: figures of the paper to draw of these networks, by their models and weights.
        missing: why weights that such a figure is of could not be had, by address.

    Returns:
        The path of the page.
    """
    refuse_run(out)
    about = {"not_applicable": not_applicable, "command": command, "versions": versions}
    document = {"format": FORMAT, "architectures": [asdict(one) for one in architectures], **about}
    panels = [
        _panel(figure, architectures, missing or {}, not_applicable, number) for number, figure in enumerate(paper)
    ]
    if paper:
        document["paper"] = [
            asdict(panel.figure) | {"trends": [asdict(found) for found in panel.trends]} for panel in panels
        ]
        document["missing"] = dict(missing or {})
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    page = render_template(_TEMPLATE, _context(architectures) | about | {"panels": panels, "missing": missing or {}})
    write_files(out, {RESULTS: text.encode("utf-8", "replace"), PAGE: page})
    return Path(out) / PAGE


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of each plot, and a row of the table: one network, or the control with its seeds."""

    color: int
    name: str
    weights: str
    is_control: bool
    profiles: Sequence[Profile]

    @property
    def num_layers(self) -> int:
        return len(self.profiles[0].layers)

    @property
    def cells(self) -> list[Cell]:
        """For each measure: over all layers, the first third, the last third; mean and range over the profiles."""
        cells = []
        for name, part in itertools.product((name for name, _, _ in MEASURES), ("", "_first_third", "_last_third")):
            found = [figure for profile in self.profiles for figure in profile.figures if figure.name == name + part]
            values = [figure.value for figure in found if figure.value is not None]
            if not values:
                cells.append(Cell())
                continue
            low, mean, high = (words.number(f(values), found[0].unit) for f in (min, statistics.fmean, max))
            cells.append(Cell(mean, interval=f"[{low}, {high}]" if len(values) > 1 else ""))
        return cells


def _context(architectures: Sequence[Architecture]) -> dict[str, Any]:
    by_model = {one.model: lines for one, lines in zip(architectures, _lines(architectures), strict=True)}
    lines = [line for own in by_model.values() for line in own]
    (*shared, (_, asdt, asdt_axis)) = MEASURES
    return {
        "colors": plots.COLORS,
        "lines": lines,
        "shared_plots": [
            (KERNEL_METRICS[name].title, _depth_plot(lines, column, axis, prefix=column))
            for name, column, axis in shared
        ],
        "own_plots": [
            (model, _depth_plot(own, asdt, asdt_axis, prefix=f"{asdt}-{index}"))
            for index, (model, own) in enumerate(by_model.items())
        ],
        "measures": [axis for _, _, axis in MEASURES],
        "networks": [network for architecture in architectures for network in architecture.networks],
        "tables": [
            text_table(network.name, [dict(row) for row in network.layers])
            for architecture in architectures
            for network in architecture.networks
        ],
        "seeds": max(len(architecture.controls) for architecture in architectures),
    }


def _lines(architectures: Sequence[Architecture]) -> Iterator[list[_Line]]:
    """The lines of each architecture: its networks in a colour each, and the control in the first one's."""
    colors = itertools.count()
    for architecture in architectures:
        own = [
            _Line(color=next(colors), name=network.name, weights=network.weights, is_control=False, profiles=[network])
            for network in architecture.networks
        ]
        control = _Line(
            color=own[0].color if own else next(colors),
            name=architecture.model,
            weights="random",
            is_control=True,
            profiles=architecture.controls,
        )
        yield [*own, control]


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A figure of the paper beside what is found; ``svg`` is empty where there is nothing to draw, ``absent`` says of
    networks why they are not in it."""

    figure: PaperFigure
    lines: Sequence[_Line]
    svg: str
    trends: Sequence[Trend]
    absent: Mapping[str, str]

    @property
    def rows(self) -> list[list[str]]:
        """The trends as text."""
        return [
            [
                f"{found.name}, {self.figure.columns[found.column]}" if len(self.figure.columns) > 1 else found.name,
                str(found.num_layers),
                words.number(found.rank_correlation, "log ratio"),
                words.number(found.last_to_first, "log ratio"),
            ]
            for found in self.trends
        ]


def _panel(
    figure: PaperFigure,
    architectures: Sequence[Architecture],
    missing: Mapping[str, str],
    not_applicable: Mapping[str, str],
    number: int,
) -> _Panel:
    by_model = {one.model: one for one in architectures}
    lines: list[_Line] = []
    absent: dict[str, str] = {}
    for color, (model, weights) in enumerate(figure.networks):
        if model in not_applicable:
            absent[weights] = not_applicable[model]
            continue
        for network in by_model[model].networks:
            if network.weights == weights:
                lines.append(
                    _Line(color=color, name=network.name, weights=weights, is_control=False, profiles=[network])
                )
        if weights in missing:
            absent[weights] = missing[weights]
        controls = by_model[model].controls
        lines.append(_Line(color=color, name=model, weights="random", is_control=True, profiles=controls))
    trends = [
        trend(line.name + (" (random)" if line.is_control else ""), column, line.profiles)
        for line in lines
        for column in figure.columns
    ]
    first, *_ = figure.columns
    svg = _depth_plot(lines, first, figure.axis, prefix=f"paper-{number}", by_number=True) if lines else ""
    return _Panel(figure=figure, lines=lines, svg=svg, trends=trends, absent=absent)


def _depth_plot(lines: Sequence[_Line], column: str, axis: str, *, prefix: str, by_number: bool = False) -> str:
    """One measure over relative depth: 0 is the first layer, 1 the last, so that networks of any depth share the axis.

    Controls are dashed, the mean over seeds, with their range. What a measure is by its printed definition is dotted.

    Args:
        lines: the networks and controls.
        column: of the layers' tables.
        axis: words for it.
        prefix: of the plot's ids.
        by_number: over the number of the layer instead, as in the paper.
    """
    names = ", ".join(dict.fromkeys(line.name for line in lines))
    alt = f"Line plot: {axis} from the first to the last layer with temporal kernels of {names}; dashed: random weights"
    if column in AS_PRINTED:
        alt += "; dotted: by the definition as printed"
    with plots.drawing(2.7, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for line in lines:
            color = plots.COLORS[line.color % len(plots.COLORS)]
            steps = 1 if by_number else max(line.num_layers - 1, 1)
            depth = [(layer + by_number) / steps for layer in range(line.num_layers)]
            style: dict[str, Any] = {"linewidth": 1.2, "linestyle": _DASHED}
            if not line.is_control:
                # Colours that come again do so with another marker.
                marker = plots.MARKERS[(line.color + line.color // len(plots.COLORS)) % len(plots.MARKERS)]
                style = {"linewidth": 1.6, "marker": marker, "markersize": 3.5, "markeredgewidth": 0}
                if column in AS_PRINTED:
                    printed = [row[AS_PRINTED[column]] for row in line.profiles[0].layers]
                    axes.plot(depth, printed, color=color, linewidth=1.2, linestyle=_DOTTED)
            rows = zip(*(profile.layers for profile in line.profiles), strict=True)
            layers = [[row[column] for row in seeds] for seeds in rows]
            axes.fill_between(
                depth, [min(seeds) for seeds in layers], [max(seeds) for seeds in layers], color=color, alpha=0.15, lw=0
            )
            axes.plot(depth, [statistics.fmean(seeds) for seeds in layers], color=color, **style)
        if by_number:
            axes.locator_params(axis="x", integer=True)
            axes.set_xlabel("layer with temporal kernels")
        else:
            axes.set_xlim(-0.03, 1.03)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
            axes.set_xlabel("first (0) to last (1) layer with temporal kernels")
        axes.set_ylim(bottom=0)
        axes.set_ylabel(axis)
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid(axis="y")
    return result[0]
