"""The headline figures on the console."""

from dataclasses import replace

import pytest

from pvbias.evaluation import Figure
from pvbias.report.console import headline_table

from .runs import accuracy_figures, labelled_run, measured, right, unlabelled_run


def rows_of(table):
    return [[cell for cell in line.split("  ") if cell] for line in table.splitlines()]


def test_one_run():
    rows = [[cell.strip() for cell in row] for row in rows_of(headline_table([labelled_run()]))]

    assert rows[2:] == [
        ["top-1 accuracy, %", "64.3 [63.3, 65.3]"],
        ["log ratio, shuffled", "0.68"],
        ["dynamic score, frozen, nats", "1.50 [1.20, 1.80]"],
        ["dynamic score, shuffled, nats", "0.050"],
    ]


def test_two_runs_have_their_difference():
    """Both right on all of 19 videos: no difference, give or take Wilson's interval of 0 of 19."""
    runs = [measured(name, original=right(19, 19), shuffled=right(9, 19)) for name in ("first", "second")]
    heads, _, top1, ratio = [[cell.strip() for cell in row] for row in rows_of(headline_table(runs))]

    assert heads == ["first", "second", "difference"]
    assert top1 == ["top-1 accuracy, %", "100.0 [83.2, 100.0]", "100.0 [83.2, 100.0]", "0.0 [−16.8, +16.8]"]
    assert ratio[0] == "log ratio, shuffled"
    assert ratio[-1] == "0 [0, 0]"


def test_an_undefined_figure_is_not_replaced_by_that_of_another_level():
    """None of the videos is right shuffled, but some of their clips: the ratio beside video-level accuracy has no
    value."""
    run = labelled_run()
    figures = accuracy_figures({"original": 88.0, "shuffle": 0.0})
    figures.append(Figure(name="log_ratio", value=2.5, unit="log ratio", level="clip", variant="shuffle"))
    run.results["modulated_accuracy"].figures = figures

    rows = [[cell.strip() for cell in row] for row in rows_of(headline_table([run]))]

    assert ["log ratio, shuffled", "undefined"] in rows


def test_clips_frozen_to_different_frames_are_different_figures():
    runs = [labelled_run("a"), labelled_run("b")]
    middle, *others = runs[1].results["dynamic_score"].figures
    runs[1].results["dynamic_score"].figures = [replace(middle, variant="freeze_first", value=3.0), *others]

    rows = [[cell.strip() for cell in row] for row in rows_of(headline_table(runs))]

    assert ["dynamic score, frozen, nats", "1.50 [1.20, 1.80]", "–"] in rows
    assert ["dynamic score, frozen to its first frame, nats", "–", "3.00 [1.20, 1.80]"] in rows


def test_three_runs_have_a_column_each():
    table = headline_table([labelled_run("a"), unlabelled_run(), labelled_run("c", results={})])

    assert "difference" not in table
    assert [line.split()[-3:] for line in table.splitlines() if line.startswith("top-1")] == [["65.3]", "–", "–"]]


@pytest.mark.parametrize("runs", [1, 2])
def test_nothing_was_measured(runs):
    assert headline_table([labelled_run(results={})] * runs) == "No headline figures were measured."
