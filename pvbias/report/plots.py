"""Plots as inline SVG: drawn by matplotlib, without pyplot and its global state.

Text stays text, so the page's own fonts show it, whatever script it is in, and it can be searched. Ids carry a prefix
that the caller makes unique on its page. The same data give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Matplotlib is imported where it draws: that takes half a second, and most processes of a run draw nothing.
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

#: One colour a run, told apart with any kind of colour vision (Okabe and Ito's set, without what is too pale on white).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8A6D00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_WIDTH = 4.4  # inches; shown at up to 1.6 pixels a point: half of a wide page, or all of a phone's
_INK, MUTED, _GRID = "#1f2933", "#667482", "#e3e8ed"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pvbias",
    "text.parse_math": False,  # a class may be called "$x$"
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so sizes are the same everywhere
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "text.color": _INK,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 9,
}


@dataclass(frozen=True)
class Value:
    """A number with its interval, where it has one, and as text; ``value`` None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Series:
    """A run's values in a plot, with its colour (an index into COLORS) and its name."""

    color: int
    name: str
    values: Sequence[Value]


@dataclass(frozen=True)
class Curve:
    """A line: its name, its colour (an index into COLORS), and (x, y) from left to right."""

    name: str
    color: int
    points: Sequence[tuple[float, float]]


def interval_bars(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    axis: str,
    prefix: str,
    alt: str,
    limit: float | None = None,
    least: float = 1e-9,
    chance: Sequence[float] = (),
) -> str:
    """Draw horizontal bars in groups, one group a label, one bar a run, with interval whiskers and the value in
    figures.

    Args:
        labels: what each group is; as many as each series has values.
        limit: the axis's end; None: as far as the values reach, but at least to ``least``.
        chance: where to draw the dashed line of guessing.
    """
    rows, runs = len(labels), len(series)
    thickness = 0.25 if runs == 1 else 0.18
    height = 0.6 + rows * (runs * thickness + 0.13)
    with drawing(height, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        step = runs + 0.13 / thickness
        reach = max([v.high if v.high is not None else v.value or 0.0 for s in series for v in s.values] + [least])
        end = limit if limit is not None else reach * 1.02
        for run, one in enumerate(series):
            for row, value in enumerate(one.values):
                _bar(axes, row * step + run, value, COLORS[one.color % len(COLORS)], end)
        axes.set_yticks([row * step + (runs - 1) / 2 for row in range(rows)], [short(label, 26) for label in labels])
        axes.set_ylim(rows * step - step + runs - 0.35, -0.65)
        axes.set_xlim(0, end * 1.14)
        if limit is not None:
            axes.set_xticks([limit * part / 4 for part in range(5)])
        axes.set_xlabel(axis)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        for line in sorted(set(chance)):
            axes.axvline(line, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=3)
            axes.annotate(
                "guessing",
                (line, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 3),
                textcoords="offset points",
                color=MUTED,
                fontsize=8,
            )
    return result[0]


def curves(lines: Sequence[Curve], *, axis: str, prefix: str, alt: str) -> str:
    """Draw lines over the epochs of a training, with their names where there are several."""
    with drawing(2.7, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for number, line in enumerate(lines):
            axes.plot(
                [x for x, _ in line.points],
                [y for _, y in line.points],
                color=COLORS[line.color % len(COLORS)],
                linestyle="-" if line.color < len(COLORS) else "--",
                linewidth=1.5,
                marker=MARKERS[line.color % len(MARKERS)] if len(line.points) <= 30 else None,
                markersize=3.5,
                markeredgewidth=0,
                label=short(line.name, 30),
                zorder=3 + len(lines) - number,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis)
        axes.tick_params(axis="y", labelcolor=MUTED, labelsize=8.5)
        axes.grid()
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8)
    return result[0]


@contextmanager
def drawing(height: float, prefix: str, alt: str, width: float = _WIDTH) -> Iterator[tuple[Canvas, list[str]]]:
    """Context of a matplotlib figure; when the block ends, the list holds its SVG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    result: list[str] = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # only sizes come from this font, the reader's draws
        canvas = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas, result
        text = io.StringIO()
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        result.append(_inline(text.getvalue(), prefix, alt))


def _inline(svg: str, prefix: str, alt: str) -> str:
    """Turn matplotlib's SVG document into an element of an HTML page: own ids; no fonts, namespaces, metadata, fixed
    size."""
    svg = svg[svg.index("<svg") :].strip()
    view = re.search(r'viewBox="([^"]+)"', svg)
    assert view is not None  # matplotlib always writes one
    width = 1.6 * float(view[1].split()[2])
    body = svg[svg.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^<>]+>", lambda tag: _own_tag(tag[0], prefix), body)
    body = re.sub(r">\s+<", ">\n<", body)
    head = f'<svg class="plot" role="img" aria-label="{html.escape(alt)}" viewBox="{view[1]}"'
    return f'{head} style="max-width:{width:.0f}px">{body}'


def _own_tag(tag: str, prefix: str) -> str:
    """One tag with its ids and references to ids prefixed, and the page's font instead of matplotlib's."""
    tag = re.sub(r'\bid="', f'id="{prefix}-', tag)
    tag = re.sub(r'\b(?:xlink:)?href="#', f'href="#{prefix}-', tag)
    tag = tag.replace("url(#", f"url(#{prefix}-").replace("font-family: 'DejaVu Sans', sans-serif; ", "")
    return re.sub(r"font: ([\d.]+px) 'DejaVu Sans', sans-serif", r"font-size: \1", tag)


def _bar(axes: Axes, y: float, value: Value, color: str, end: float) -> None:
    if value.value is None:
        axes.annotate(
            "undefined", (0, y), xytext=(4, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8
        )
        return
    axes.barh(y, value.value, height=0.86, color=color, linewidth=0, alpha=0.9)
    tip = value.value
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [y, y], color=_INK, linewidth=1.1, solid_capstyle="butt", zorder=4)
        axes.plot([value.low, value.high], [y, y], "|", color=_INK, markersize=5, markeredgewidth=1.1, zorder=4)
        tip = max(tip, value.high)
    axes.annotate(
        value.text,
        (min(tip, end), y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )


def short(text: str, length: int) -> str:
    """Shorten a text to one line of drawable characters, at most ``length`` of them."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= length else text[: length - 1] + "…"
