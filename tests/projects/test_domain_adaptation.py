"""The study's runs, and its table from their results."""

import json
from pathlib import Path

import pytest

from pvbias.engine.checkpoint import checkpoint_path
from pvbias.evaluation import Figure, Result

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "domain_adaptation"


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


def finished(folder, accuracy=50.0, told_apart=()):
    """A run that is done: accuracy (percent), how often domains are told apart in its log, weights."""
    top1 = Figure(name="top1", value=accuracy, unit="%", level="clip")
    write_run(folder, {"accuracy": Result(figures=[top1])})
    lines = [{"kind": "train", "DANN/domain_accuracy": value} for value in told_apart]
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_one_stage_after_the_other(study, tmp_path, capsys):
    assert planned(study, tmp_path, capsys, "--seeds", "3").keys() == {"brush_seed3"}
    finished(tmp_path / "brush_seed3")
    runs = planned(study, tmp_path, capsys, "--seeds", "3")
    names = {name: cfg.OBJECTIVE.NAME for name, cfg in runs.items()}
    assert names == {
        "source_only_seed3": "CrossEntropy",
        "dann_seed3": "CrossEntropy + DANN",
        "cdan+e_seed3": "CrossEntropy + CDAN",
    }
    start = str(checkpoint_path(str(tmp_path / "brush_seed3"), 2))
    for cfg in runs.values():
        assert start == cfg.TRAIN.CHECKPOINT_FILE_PATH
        assert (cfg.DECOUPLED.RHO, cfg.DECOUPLED.CONTEXT, cfg.DECOUPLED.LABEL) == (1.0, "balanced", "motion")
        target = cfg.DATA.STREAMS.target
        assert (target.DATASET, target.SPLIT, target.LABELLED) == ("places_faces_mnist", "val", False)
    finished(tmp_path / "dann_seed3")
    source = planned(study, tmp_path, capsys, "--seeds", "3", "--methods", "DANN")["dann_source_seed3"]
    assert (source.TRAIN.ENABLE, source.DECOUPLED.CONTEXT) == (False, "in")


def test_the_table_says_what_was_measured(study, tmp_path, capsys):
    for seed, (plain, adapted) in enumerate(((30.0, 40.0), (32.0, 44.0), (34.0, 42.0))):
        finished(tmp_path / f"brush_seed{seed}")
        finished(tmp_path / f"source_only_seed{seed}", plain)
        finished(tmp_path / f"source_only_source_seed{seed}", 90.0)
        finished(tmp_path / f"dann_seed{seed}", adapted, told_apart=[1.0, 1.0, 0.75, 0.25])
        finished(tmp_path / f"dann_source_seed{seed}", 91.0)
    study.main(["--out", str(tmp_path), "--seeds", "0", "1", "2", "--methods", "DANN"])
    table = (tmp_path / "domain_adaptation.md").read_text(encoding="utf-8").splitlines()
    # Differences of 10, 12 and 8 points: mean 10, standard error 2 / sqrt(3), t of 2 degrees of freedom 4.303.
    assert table[2:] == [
        "| source only | 90.0 ± 0.0 | 32.0 ± 5.0 |  |  |  |",
        "| DANN | 91.0 ± 0.0 | 42.0 ± 5.0 | +10.0 ± 5.0 | 50.0 ± 0.0 | it helps |",
    ]
    assert capsys.readouterr().out.count("| DANN |") == 1
