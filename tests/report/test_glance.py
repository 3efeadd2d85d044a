"""Measures at a glance: runs side by side, and rank correlations over models with their uncertainty."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from pvbias.evaluation import Figure, Result
from pvbias.report.glance import rank_correlations

from .pages import page_of, words_of
from .runs import labelled_run


def test_rank_correlations_are_spearmans_and_their_p_values_count_orders():
    values = {"a": [1.0, 2.0, 3.0, 4.0, 5.0], "b": [2.0, 1.0, 4.0, 3.0, 5.0], "c": [5.0, 4.0, 3.0, 2.0, 1.0]}
    found = {(each.first, each.second): each for each in rank_correlations(values)}
    for (first, second), each in found.items():
        assert each.value == pytest.approx(spearmanr(values[first], values[second]).statistic)
    # 2 of 120 orders are as far from 0 as a perfect one
    assert found["a", "c"].p == pytest.approx(2 / 120)
    every = [abs(spearmanr(values["a"], order).statistic) for order in permutations(values["b"])]
    assert found["a", "b"].p == pytest.approx(np.mean(np.array(every) >= 0.8 - 1e-9))
    assert found["a", "c"].p_adjusted == pytest.approx(3 * 2 / 120)
    assert not found["a", "c"].certain


def test_models_without_a_value_and_measures_without_differences_are_left_out():
    values = {
        "a": [1.0, 2.0, 3.0, None],
        "b": [1.0, None, 3.0, 2.0],
        "c": [7.0, 7.0, 7.0, 7.0],
        "d": [3.0, 2.0, 1.0, 0.0],
    }
    found = {(each.first, each.second): each for each in rank_correlations(values)}
    assert set(found) == {("a", "d"), ("b", "d")}
    assert found["a", "d"].models == 3
    assert found["a", "d"].p == pytest.approx(2 / 6)


def test_independent_measures_are_called_certain_in_5_percent_of_cases_at_most():
    generator = np.random.default_rng(0)
    named = sum(
        any(each.certain for each in rank_correlations({k: generator.normal(size=6).tolist() for k in "abcd"}))
        for _ in range(60)
    )
    assert named <= 7


def run_with(name, top1, ratio):
    run = labelled_run(name)
    run.results = {
        "accuracy": Result(
            figures=[Figure(name="top1", value=top1, unit="%", level="video", interval=(top1 - 5, top1 + 5))]
        ),
        "modulated_accuracy": Result(
            figures=[Figure(name="log_ratio", value=ratio, unit="log ratio", level="video", variant="shuffle")]
        ),
    }
    return run


def section_of(html):
    start = html.index('<section id="glance">')
    return html[start : html.index("</section>", start)]


def test_a_comparison_shows_each_run_on_each_measure(tmp_path):
    runs = [run_with(*each) for each in (("a", 50.0, 0.1), ("b", 60.0, 0.5), ("c", 70.0, 0.9))]
    html = section_of(page_of(tmp_path, *runs))
    text = words_of(html)
    assert "top-1 accuracy50.060.070.0" in text
    assert "log ratio, shuffled0.100.500.90" in text
    assert "top-1 accuracylog ratio, shuffled3+1.000.330.33" in text
    assert "With 3 models the smallest p-value that there can be is 0.33" in text
    assert html.count("<svg") == 1


def test_two_runs_have_no_correlation_and_one_run_no_section(tmp_path):
    two = [run_with("a", 50.0, 0.1), run_with("b", 60.0, 0.5)]
    text = words_of(section_of(page_of(tmp_path / "two", *two)))
    assert "from three models on" in text
    assert '<section id="glance">' not in page_of(tmp_path / "one", two[0])
