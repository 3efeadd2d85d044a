"""Plots of temporal dependence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvbias.report import plots

#: Curves over lengths, each about half an octave more.
_LOGARITHMIC = ("cut", "within", "stride", "frames", "speed")


@dataclass(frozen=True)
class Line:
    """A run's values along a curve: (place on the axis, value)."""

    color: int
    name: str
    points: Sequence[tuple[float, plots.Value]]


def timing_curve(
    curve: str,
    lines: Sequence[Line],
    *,
    axis: str,
    measure: str,
    prefix: str,
    alt: str,
    original: float | None = None,
    chance: Sequence[float] = (),
    bottom: float | None = 0.0,
    top: float | None = None,
) -> str:
    """Draw a value over a property of a clip's timing, with 95 % intervals.

    Args:
        curve: its name, of :data:`.curves.CURVES`.
        axis, measure: what is along the axes.
        original: where the clips as they are lie, marked below.
        chance: where to draw the dashed line of guessing.
        bottom, top: ends of the upright axis; None: as far as the values reach.
    """
    with plots.drawing(2.3, prefix, alt, width=3.3) as (canvas, result):
        axes = canvas.add_subplot()
        places = sorted({at for line in lines for at, _ in line.points})
        for line in lines:
            color = plots.COLORS[line.color % len(plots.COLORS)]
            known = [(at, value, value.value) for at, value in line.points if value.value is not None]
            axes.plot(
                [at for at, _, _ in known],
                [height for _, _, height in known],
                color=color,
                linewidth=1.4,
                marker=plots.MARKERS[line.color % len(plots.MARKERS)],
                markersize=4.5,
                markeredgewidth=0,
                zorder=3,
            )
            for at, value, _ in known:
                if value.low is not None and value.high is not None:
                    axes.plot([at, at], [value.low, value.high], color=color, linewidth=1.0, alpha=0.6, zorder=2)
        if curve in _LOGARITHMIC:
            axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{at:g}" for at in places])
        axes.minorticks_off()
        axes.set_ylim(bottom=bottom, top=top)
        for level in sorted(set(chance)):
            axes.axhline(level, color=plots.MUTED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        if original is not None:
            axes.axvline(original, color=plots.MUTED, linewidth=0.8, alpha=0.5, zorder=1)
        axes.set_xlabel(axis)
        axes.set_ylabel(measure)
        axes.tick_params(axis="y", labelcolor=plots.MUTED, labelsize=8.5)
        axes.grid(axis="y")
    return result[0]
