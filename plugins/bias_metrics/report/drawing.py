"""Plots of classes and layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvbias.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation

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
_STATIC = "#d5dce3"


@dataclass(frozen=True)
class ClassPoint:
    """One class's accuracy in per cent."""

    name: str
    original: float
    shuffled: float


def class_scatter(points: Sequence[ClassPoint], *, color: int, prefix: str, alt: str, labelled: int = 6) -> str:
    """Draw accuracy on original against shuffled clips, a point a class; outliers are named."""
    with plots.drawing(3.5, prefix, alt, width=3.6) as (canvas, result):
        axes = canvas.add_subplot()
        axes.plot([0, 100], [0, 100], color=plots.MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            "shuffling costs nothing",
            (57, 57),
            xytext=(-4, 4),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            color=plots.MUTED,
            fontsize=8,
        )
        axes.plot(
            [p.original for p in points],
            [p.shuffled for p in points],
            plots.MARKERS[color % len(plots.MARKERS)],
            clip_on=False,
            color=plots.COLORS[color % len(plots.COLORS)],
            alpha=0.85 if len(points) <= _FEW else 0.45,
            markersize=6 if len(points) <= _FEW else 4,
            markeredgewidth=0,
            zorder=3,
        )
        axes.set(xlim=(-1, 101), ylim=(-1, 101), aspect="equal", xlabel="accuracy on original clips, %")
        axes.set_ylabel("accuracy on shuffled clips, %")
        axes.set_xticks(range(0, 101, 25))
        axes.set_yticks(range(0, 101, 25))
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid()
        _name_outliers(canvas, axes, points, labelled)
    return result[0]


def depth_profile(series: Sequence[plots.Series], *, axis: str, prefix: str, alt: str) -> str:
    """Draw one line a run: a value for each layer, from input to output."""
    with plots.drawing(2.5, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for one in series:
            defined = [(depth, v.value) for depth, v in enumerate(one.values, start=1) if v.value is not None]
            axes.plot(
                [depth for depth, _ in defined],
                [value for _, value in defined],
                color=plots.COLORS[one.color % len(plots.COLORS)],
                marker=plots.MARKERS[one.color % len(plots.MARKERS)],
                markersize=4.5,
                linewidth=1.6,
                markeredgewidth=0,
            )
        axes.set_ylim(bottom=0)
        _layer_axis(axes, max(len(one.values) for one in series))
        axes.set_ylabel(axis)
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid(axis="y")
    return result[0]


def channel_shares(temporal: Sequence[float | None], *, color: int, prefix: str, alt: str) -> str:
    """Draw stacked bars, one a layer from input to output: temporal channels in the run's colour, static above, %."""
    with plots.drawing(2.5, prefix, alt) as (canvas, result):
        axes = canvas.add_subplot()
        for depth, share in enumerate(temporal, start=1):
            if share is not None:
                axes.bar(depth, share, width=0.8, color=plots.COLORS[color % len(plots.COLORS)], linewidth=0)
                axes.bar(depth, 100 - share, width=0.8, bottom=share, color=_STATIC, linewidth=0)
        axes.set_ylim(0, 100)
        axes.set_yticks(range(0, 101, 25))
        _layer_axis(axes, len(temporal))
        axes.set_ylabel("share of channels, %")
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
    return result[0]


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
                plots.short(point.name, 24),
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
