"""The section of the weights: ASDT and temporal channels, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvbias.registries import REPORT_SECTION
from pvbias.report import RunResults, Section, plots
from pvbias.report.figures import result_of, section_indices
from pvbias.report.tables import FigureTable, Table, figure_table, text_table, title_for

from .drawing import channel_shares, depth_profile
from .headlines import LAYERS


@dataclass
class Layers:
    """``profile``: ASDT over depth, or empty; ``shares``: (run's column, SVG); ``tables``: every layer's values."""

    figures: FigureTable
    profile: str = ""
    shares: list[tuple[int, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def _layers(runs: Sequence[RunResults]) -> Layers | None:
    """ASDT and temporal channels, layer by layer."""
    asdt = [result_of(run, "asdt").tables.get("layers", []) for run in runs]
    shares = [result_of(run, "self_convolution").tables.get("layers", []) for run in runs]
    section = Layers(figure_table(runs, section_indices(runs, LAYERS)))
    if any(asdt):
        series = [
            plots.Series(column, runs[column].name, [plots.Value(row.get("asdt")) for row in rows])
            for column, rows in enumerate(asdt)
            if rows
        ]
        alt = "Line plot: ASDT of each layer from input to output"
        section.profile = depth_profile(series, axis="ASDT", prefix="asdt", alt=alt)
    for column, rows in enumerate(shares):
        if rows:
            alt = f"Stacked bars: share of temporal and static channels of each layer, {runs[column].name}"
            temporal = [row.get("temporal_share") for row in rows]
            svg = channel_shares(temporal, color=column, prefix=f"shares-{column}", alt=alt)
            section.shares.append((column, svg))
    section.tables = [
        text_table(title_for(what, run, runs), rows)
        for what, found in (("ASDT", asdt), ("Temporal and static channels", shares))
        for run, rows in zip(runs, found, strict=True)
        if rows
    ]
    return section if section.tables or section.figures.blocks else None


REPORT_SECTION.register(
    Section(
        title="Inside the network",
        build=_layers,
        place=500,
        template=Path(__file__).with_name("templates") / "layers.html",
        evaluators={"asdt": "ASDT", "self_convolution": "temporal channels (self-convolution)"},
    ),
    name=LAYERS,
)
