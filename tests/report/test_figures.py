"""Figures are found by what they measure, not by their names."""

import pytest

from pvbias.evaluation import Figure, Result
from pvbias.registries import METRIC
from pvbias.report import find
from pvbias.report.console import headline_table

from .pages import page_of, words_of
from .runs import labelled_run


def test_a_figure_of_the_same_name_is_not_the_model_s_accuracy(tmp_path, registries):
    """A probe on the features reports a top1 of its own, before the model's."""
    run = labelled_run()
    probe = Result(figures=[Figure(name="top1", value=12.5, unit="%", level="video")])
    run.results = {"probe": probe, **run.results}

    assert "12.5" not in headline_table([run])
    text = words_of(page_of(tmp_path, run))
    assert "64.3 % in order" in text
    assert "probe top1 in % original 12.5" in text


def test_a_metric_finds_its_figures_in_a_run(registries):
    run = labelled_run()

    assert find(run, METRIC.get("modulated_accuracy/log_ratio"), "shuffle").value == pytest.approx(0.676, abs=1e-3)
    assert find(run, METRIC.get("dataset_bias/dataset_bias"), "original") is None
