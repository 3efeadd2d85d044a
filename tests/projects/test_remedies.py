"""The study of remedies: its runs are valid configurations, and its page says what the runs' results say."""

import json
from pathlib import Path

import numpy as np
import pytest

from pvbias.engine.checkpoint import checkpoint_path
from pvbias.errors import ConfigError
from pvbias.evaluation import Figure, Result
from pvbias.run.study import interval

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "remedies"


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


def finished(study, folder, values, cost=2.0):
    """A run that is done, with a value for each measure of its kind, and the seconds that most of its steps took."""
    results = {}
    for column, value in values:
        result = results.setdefault(column.evaluator, Result(figures=[]))
        figure = Figure(
            name=column.figure, value=value, unit=column.unit or "log ratio", level="video", variant=column.variant
        )
        result.figures.append(figure)
    write_run(folder, results)
    steps = ({"kind": "train", "data_seconds": 0.1, "compute_seconds": seconds} for seconds in (9.9, *[cost - 0.1] * 3))
    (folder / "train_log.jsonl").write_text("".join(f"{json.dumps(step)}\n" for step in steps), encoding="utf-8")


def finish_all(study, out, gains, seeds):
    """All runs, of which those out of context have 60 % and what a method gains with each seed."""
    for seed in seeds:
        write_run(out / f"motion_seed{seed}", {})
        for rho in ("1", "0.8"):
            for name in ("CrossEntropy", *gains):
                for kind, suffix in (("in", ""), ("out", "_out"), ("target", "_target")):
                    gained = gains.get(name, [0] * 9)[seed] if kind == "out" else 0
                    columns = [column for column in study.MEASURES if column.run == kind]
                    values = [(column, 60.0 + seed + gained) for column in columns]
                    folder = out / f"{name}_rho{rho}{suffix}_seed{seed}"
                    finished(study, folder, values, cost=3.0 if name == "MixUp" else 2.0)


def test_all_methods_start_from_the_same_weights(study, tmp_path, capsys):
    assert planned(study, tmp_path, capsys, "--seeds", "3").keys() == {"motion_seed3"}
    write_run(tmp_path / "motion_seed3", {})
    runs = planned(study, tmp_path, capsys, "--seeds", "3")
    assert len(runs) == 2 * len(study.METHODS)
    assert {cfg.MODEL.NUM_CLASSES for cfg in runs.values()} == {10}
    weights = str(checkpoint_path(str(tmp_path / "motion_seed3"), 2))
    assert {(cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.DECOUPLED.CONTEXT) for cfg in runs.values()} == {(weights, "in")}
    columns = [(column, 50.0) for column in study.MEASURES if column.run == "in"]
    finished(study, tmp_path / "CrossEntropy_rho0.8_seed3", columns)
    after = {name: cfg for name, cfg in planned(study, tmp_path, capsys, "--seeds", "3").items() if name not in runs}
    tested, tuned = after["CrossEntropy_rho0.8_out_seed3"], after["CrossEntropy_rho0.8_target_seed3"]
    assert (tested.TRAIN.ENABLE, tested.DECOUPLED.CONTEXT, tested.DECOUPLED.RHO) == (False, "out", 0.8)
    assert (tuned.TRAIN.ENABLE, tuned.DECOUPLED.RHO, tuned.MODEL.NUM_CLASSES) == (True, 0.0, 20)
    assert tested.TRAIN.CHECKPOINT_FILE_PATH == tuned.TRAIN.CHECKPOINT_FILE_PATH


def test_what_helps_is_told_from_what_cannot_be_told(study, tmp_path, capsys):
    gains = {"DRLFreeze": [8, 9, 10, 9, 9], "MixUp": [-6, 5, -4, 6, 1], "DRLShuffle": [-7, -7.5, -8, -7, -7.5]}
    finish_all(study, tmp_path, gains, range(5))
    study.main(["--out", str(tmp_path), "--methods", *gains])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Helps out of context: DRLFreeze (+9.0 ± 1.3 points)" in page
    assert "Does harm out of context: DRLShuffle (-7.4 ± " in page
    assert "Cannot be told from cross-entropy out of context: MixUp." in page
    numbers = json.loads((tmp_path / "remedies.json").read_text(encoding="utf-8"))
    assert numbers["seeds"] == [0, 1, 2, 3, 4]
    row = {"rho": 0.8, "method": "DRLFreeze", "measure": "out of context", "values": [68.0, 70.0, 72.0, 72.0, 73.0]}
    assert row in numbers["figures"]
    costs = {"rho": 1.0, "method": "MixUp", "measure": "cost of a step", "values": [pytest.approx(1.5)] * 5}
    assert costs in numbers["figures"]


def test_one_seed_tells_nothing(study, tmp_path):
    finish_all(study, tmp_path, {"DRLFreeze": [30]}, [0])
    study.main(["--out", str(tmp_path), "--methods", "DRLFreeze", "--seeds", "0"])
    assert "One seed does not tell" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_names_of_methods_are_checked(study, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'DRLFreeze'"):
        study.main(["--out", str(tmp_path), "--methods", "drlfreeze"])


def test_intervals_that_hold_at_once_are_wider():
    # A table of Student's t: 2.776 at 0.975 and 4.604 at 0.995, four degrees of freedom.
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    error = np.sqrt(2.5 / 5)
    assert interval(values) == (3.0, pytest.approx(2.776 * error, rel=1e-3))
    assert interval(values, comparisons=5) == (3.0, pytest.approx(4.604 * error, rel=1e-3))
