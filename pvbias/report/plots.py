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
    from matplotlib.text import Annotation

#: One colour a run, told apart with any kind of colour vision (Okabe and Ito's set, without what is too pale on white).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8A6D00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_WIDTH = 4.4  # inches; shown at up to 1.6 pixels a point: half of a wide page, or all of a phone's
#: Up to so many classes, points are large and names keep clear of them.
_FEW = 60
#: Where a name may stand beside its point: offset in typographic points, alignment; the first free place is taken.
_LABEL_PLACES = (
    (6, -3, "left"),
    (-6, -3, "right"),
    (0, 6, "center"),
    (0, -12, "center"),
    (6, 6, "left"),
    (-6, 6, "right"),
    (6, -12, "left"),
    (-6, -12, "right"),
    (0, 16, "center"),
    (0, -22, "center"),
)
_INK, MUTED, _GRID, _STATIC = "#1f2933", "#667482", "#e3e8ed", "#d5dce3"
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
class ClassPoint:
    """One class's accuracy in per cent."""

    name: str
    original: float
    shuffled: float


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
    """Horizontal bars in groups, one group a label, one bar a run, with interval whiskers and the value in figures.

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
        axes.set_yticks([row * step + (runs - 1) / 2 for row in range(rows)], [_short(label, 26) for label in labels])
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


def class_scatter(points: Sequence[ClassPoint], *, color: int, prefix: str, alt: str, labelled: int = 6) -> str:
    """Accuracy on original against shuffled clips, a point a class; the classes that stand out are named."""
    with drawing(3.5, prefix, alt, width=3.6) as (canvas, result):
        axes = canvas.add_subplot()
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            "shuffling costs nothing",
            (57, 57),
            xytext=(-4, 4),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            color=MUTED,
            fontsize=8,
        )
        axes.plot(
            [p.original for p in points],
            [p.shuffled for p in points],
            MARKERS[color % len(MARKERS)],
            clip_on=False,
            color=COLORS[color % len(COLORS)],
            alpha=0.85 if len(points) <= _FEW else 0.45,
            markersize=6 if len(points) <= _FEW else 4,
            markeredgewidth=0,
            zorder=3,
        )
        axes.set(xlim=(-1, 101), ylim=(-1, 101), aspect="equal", xlabel="accuracy on original clips, %")
        axes.set_ylabel("accuracy on shuffled clips, %")
        axes.set_xticks(range(0, 101, 25))
        axes.set_yticks(range(0, 101, 25))
        axes.tick_params(axis="y", labelcolor=MUTED, labelsize=8.5)
        axes.grid()
        _name_outliers(canvas, axes, points, labelled)
    return result[0]


def depth_profile(series: Sequence[Series], *, axis: str, prefix: str, alt: str) -> str:
    """One line a run: a value for each layer, from input to output."""
    with drawing(2.5, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for one in series:
            defined = [(depth, v.value) for depth, v in enumerate(one.values, start=1) if v.value is not None]
            axes.plot(
                [depth for depth, _ in defined],
                [value for _, value in defined],
                color=COLORS[one.color % len(COLORS)],
                marker=MARKERS[one.color % len(MARKERS)],
                markersize=4.5,
                linewidth=1.6,
                markeredgewidth=0,
            )
        axes.set_ylim(bottom=0)
        _layer_axis(axes, max(len(one.values) for one in series))
        axes.set_ylabel(axis)
        axes.tick_params(axis="y", labelcolor=MUTED, labelsize=8.5)
        axes.grid(axis="y")
    return result[0]


def channel_shares(temporal: Sequence[float | None], *, color: int, prefix: str, alt: str) -> str:
    """Stacked bars, one a layer from input to output: temporal channels in the run's colour, static above, %."""
    with drawing(2.5, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for depth, share in enumerate(temporal, start=1):
            if share is not None:
                axes.bar(depth, share, width=0.8, color=COLORS[color % len(COLORS)], linewidth=0)
                axes.bar(depth, 100 - share, width=0.8, bottom=share, color=_STATIC, linewidth=0)
        axes.set_ylim(0, 100)
        axes.set_yticks(range(0, 101, 25))
        _layer_axis(axes, len(temporal))
        axes.set_ylabel("share of channels, %")
        axes.tick_params(axis="y", labelcolor=MUTED, labelsize=8.5)
    return result[0]


def curves(lines: Sequence[Curve], *, axis: str, prefix: str, alt: str) -> str:
    """Lines over the epochs of a training, with their names where there are several."""
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
                label=_short(line.name, 30),
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
    """A figure to draw on; when the block ends, the list holds its SVG."""
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
    """Matplotlib's SVG document as an element of an HTML page: own ids; no fonts, namespaces, metadata, fixed size."""
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


def _layer_axis(axes: Axes, layers: int) -> None:
    axes.set_xlim(0.2, layers + 0.8)
    step = max(1, -(-layers // 12))
    axes.set_xticks(range(1, layers + 1, step))
    axes.set_xlabel("layer with temporal kernels, input to output")


def _name_outliers(canvas: Canvas, axes: Axes, points: Sequence[ClassPoint], count: int) -> None:
    """Name the classes that lose most to shuffling and the one that gains most, each where there is room for it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    by_loss = sorted(points, key=lambda p: (p.shuffled - p.original, p.name))
    chosen = by_loss[:count]
    if by_loss[-1] not in chosen:
        chosen = [*chosen[: count - 1], by_loss[-1]]
    canvas.draw_without_rendering()
    renderer = FigureCanvasAgg(canvas).get_renderer()
    frame, few = axes.get_window_extent(renderer), len(points) <= _FEW
    markers = [axes.transData.transform((p.original, p.shuffled)) for p in points] if few else []
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in markers]
    for point in chosen:
        for dx, dy, align in _LABEL_PLACES:
            label: Annotation = axes.annotate(
                _short(point.name, 24),
                (point.original, point.shuffled),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=align,
                fontsize=8,
                zorder=4,
                annotation_clip=False,
                bbox=None if few else {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4},
            )
            label.set_in_layout(False)
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 8 and frame.y0 <= box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()


def _short(text: str, length: int) -> str:
    """``text`` on one line, in characters that can be drawn, at most ``length`` of them."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= length else text[: length - 1] + "…"
