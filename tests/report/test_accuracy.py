"""Accuracy: what counts as it, and when it is guessing."""

import pytest

from pvbias.evaluation import Figure, Result
from pvbias.registries import METRIC
from pvbias.report import TOP1
from pvbias.report.accuracy import guesses, why_no_accuracy

from .pages import page_of, words_of
from .runs import accuracy_figures, labelled_run, unlabelled_run


@pytest.mark.parametrize(
    ("value", "half_width", "expected"),
    [(25.0, 0.0, True), (25.9, 1.0, True), (26.1, 1.0, False), (64.3, 1.0, False)],
)
def test_guessing_among_four_classes(value, half_width, expected):
    """25 %, as far as the interval reaches."""
    figures = accuracy_figures({"original": value, "shuffle": 20.0}, half_width=half_width)

    assert guesses(labelled_run(results={"accuracy": Result(figures=figures)})) is expected


def test_a_run_without_accuracy_is_not_said_to_guess():
    assert not guesses(unlabelled_run())


def test_the_reason_why_there_is_none():
    assert why_no_accuracy(unlabelled_run()) == "None of the 12 videos has a label."
    assert why_no_accuracy(labelled_run()) == ""
    assert why_no_accuracy(labelled_run(results={"asdt": Result(not_applicable="no kernels")})) == ""


def test_the_accuracy_of_a_user_s_evaluator_counts_where_it_says_so(tmp_path, registries):
    figure = Figure(name="top1", value=64.0, unit="%", level="video", interval=(60.0, 68.0))
    run = labelled_run(results={"weighted": Result(figures=[figure])})
    METRIC.register(TOP1, name="weighted/top1")

    text = words_of(page_of(tmp_path, run))

    assert "Accuracy Each variant takes something away" in text
    assert "top-1 accuracy in % original 64.0 [60.0, 68.0]" in text
    assert not guesses(run)
