"""Curves of trainings."""

import json

from pvbias.evaluation import Result
from pvbias.report import read_training

from .pages import page_of
from .runs import labelled_run


def test_curves_of_a_training(tmp_path):
    lines = [
        {"kind": "start", "epoch": 0, "iteration": 0},
        {
            "kind": "train",
            "epoch": 0.5,
            "iteration": 5,
            "recognizer/loss": 2.5,
            "student/loss": 1.5,
            "recognizer/lr": 0.1,
        },
        {"kind": "train", "epoch": 1.0, "iteration": 10, "recognizer/loss": None, "student/loss": 1.25, "top1": 50.0},
        {"kind": "validation", "epoch": 1.0, "iteration": 10, "top1": 40.0},
    ]
    log = tmp_path / "train_log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "train", "ep')

    trained = read_training(log)
    html = page_of(tmp_path, labelled_run(results={"training": trained}))

    assert trained.tables["steps"][1] == {
        "epoch": 1.0,
        "iteration": 10,
        "recognizer/loss": None,
        "student/loss": 1.25,
        "recognizer/lr": None,
        "top1": 50.0,
    }
    assert trained.tables["validation"] == [{"epoch": 1.0, "iteration": 10, "top1": 40.0}]
    assert html.count('aria-label="Line plot') == 2
    for legend in ("recognizer/loss", "student/loss", "top1, training", "top1, validation"):
        assert legend in html
    assert read_training(tmp_path / "nothing.jsonl") is None


def test_a_long_training_is_thinned_out_and_keeps_its_end(tmp_path):
    log = tmp_path / "train_log.jsonl"
    rows = [{"kind": "train", "epoch": n / 100, "iteration": n, "loss": 1.0} for n in range(1, 1002)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))

    steps = read_training(log).tables["steps"]

    assert 150 <= len(steps) <= 200
    assert steps[-1]["iteration"] == 1001


def test_trainings_side_by_side(tmp_path):
    """A run of several phases beside one of one, and one that has not trained."""
    runs = [
        labelled_run(name, results={"training": Result(tables={"steps": steps})} if steps else {})
        for name, steps in (
            ("plain", [{"epoch": 1.0, "loss": 1.0, "top1": 30.0}]),
            ("phases", [{"epoch": 1.0, "recognizer/loss": 2.0, "student/loss": 9.0, "recognizer/top1": 40.0}]),
            ("measured only", []),
        )
    ]

    html = page_of(tmp_path, *runs)

    assert html.count('aria-label="Line plot') == 2
    assert "Top-1 accuracy, training clips" in html
    assert "Steps: phases" in html
