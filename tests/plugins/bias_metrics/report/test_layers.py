"""The section of the weights."""

import re

import pytest

from pvbias.evaluation import Figure

from ....report.pages import page_of, words_of
from ....report.runs import labelled_run, unlabelled_run


def with_means(name, asdt):
    run = labelled_run(name)
    run.results["asdt"].figures = [
        Figure(name=name, value=asdt * factor, unit="weight", level="model")
        for name, factor in (("asdt", 1), ("asdt_first_third", 2))
    ]
    run.results["self_convolution"].figures = [
        Figure(name="temporal_channels", value=25.0, unit="%", level="model"),
    ]
    return run


def test_one_run(tmp_path):
    html = page_of(tmp_path, with_means("run", 0.1))
    text = words_of(html)

    assert "Whole model ASDT 0.1 ASDT, first third of the layers 0.2 temporal channels, % 25.0" in text
    assert html.count('aria-label="Line plot: ASDT of each layer') == 1
    assert html.count('aria-label="Stacked bars') == 1
    assert "Temporal and static channels (3 rows)" in text
    svg = html[html.index('aria-label="Stacked bars') :]
    bars = re.findall(r'd="M \S+ (\S+) \nL \S+ \1 \nL \S+ (\S+) [^"]+z\n"[^>]*fill: #', svg[: svg.index("</svg>")])
    heights = [float(bottom) - float(top) for bottom, top in bars]
    assert len(heights) == 2 * 3
    for temporal, static in zip(heights[::2], heights[1::2], strict=True):
        assert temporal / (temporal + static) == pytest.approx(0.25, abs=0.001)


def test_runs_side_by_side(tmp_path):
    html = page_of(tmp_path, with_means("a", 0.1), with_means("b", 0.3))
    text = words_of(html)

    assert "ASDT 0.10.3+0.2" in text
    assert html.count('aria-label="Line plot: ASDT of each layer') == 1
    assert html.count('aria-label="Stacked bars') == 2
    assert "ASDT: b (3 rows)" in text


def test_a_network_without_temporal_kernels_has_no_section(tmp_path):
    text = words_of(page_of(tmp_path, unlabelled_run()))

    assert "Inside the network" not in text
    assert "ASDT The model has no convolution over time." in text.replace("ASDTThe", "ASDT The")
