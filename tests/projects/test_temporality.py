"""The temporality study: its runs are valid configurations, and its tables say what the runs' results say."""

import shlex
from pathlib import Path

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, count_classes
from pvbias.engine.checkpoint import KEYS, checkpoint_path
from pvbias.errors import TrainingError
from pvbias.evaluation import Figure, Result
from pvbias.report.results import RunResults, write_results

from .studies import script

PROJECT = Path(__file__).parents[2] / "projects" / "temporality"


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


@pytest.mark.parametrize("size", ["small", "long", "paper"])
def test_every_run_is_a_valid_configuration(study, size, tmp_path, capsys):
    parts = ["table1", "truth", "table2", "profiles", "context"]
    classes = planned(study, parts, size, tmp_path, capsys)
    assert not any(tmp_path.iterdir())
    assert classes["brush_joint_seed0"] == classes["brush_random_seed1"] == 100
    assert classes["brush_motion_seed0"] == classes["context_from_scratch_seed1"] == 10
    # But for the paper's size they start from weights that are not there yet.
    assert any(name.startswith("pfm") for name in classes) == (size == "paper")
    made_up_start(tmp_path, "brush_motion_seed0")
    made_up_start(tmp_path, "brush_joint_seed0")
    classes = planned(study, ["table2", "context"], size, tmp_path, capsys)
    assert classes["context_free_seed0"] == 10
    assert {"context_from_scratch_seed1", "context_from_brush_motion_seed0"} <= classes.keys()
    assert "context_from_context_free_seed0" not in classes
    starts = {name for name in classes if name.startswith("pfm") and name not in GRID}
    start = {"small": "pfm_motion_16_16_seed0", "long": "pfm_both_16_16_seed0"}.get(size)
    assert starts == ({start} if start else set())
    if start:
        # What is not trained in the start of the long size has the joint classes: no cell begins with a trained head.
        assert classes[start] == {"small": 16, "long": 256}[size]
        made_up_start(tmp_path, start)
        classes = planned(study, ["table2"], size, tmp_path, capsys)
    assert GRID - classes.keys() == ({name for name in GRID if "seed1" in name} if start else set())
    assert classes["pfm_16_2_seed0"] == 32


#: The runs of Table 2.
GRID = {f"pfm_{x}_{y}_seed{seed}" for x in (2, 16) for y in (2, 16) for seed in (0, 1)}


def made_up_start(out, name):
    """A run that others start from: through, for seed 0; not for seed 1."""
    for seed in (0, 1):
        path = checkpoint_path(str(out / name.replace("seed0", f"seed{seed}")), 2)
        path.parent.mkdir(parents=True)
        torch.save(dict.fromkeys(KEYS, 0), path)
    made_up_run(out / name, (1.0, 0.0, 0.0), 5.0)


def planned(study, parts, size, out, capsys):
    """Classes of the runs that a dry run names, each read as a configuration."""
    study.main([*parts, "--size", size, "--out", str(out), "--seeds", "0", "1", "--dry-run"])
    classes = {}
    for line in capsys.readouterr().out.splitlines():
        program, *arguments = shlex.split(line)
        assert Path(program).exists()
        assert arguments[:2] == ["run", "--cfg"]
        cfg = load_cfg(arguments[2], arguments[3:])
        name = Path(cfg.OUTPUT_DIR).name
        assert name not in classes
        classes[name] = complete(cfg, num_classes=count_classes(build_source(cfg, "train"))).MODEL.NUM_CLASSES
    return classes


def made_up_run(folder, shares, reversed_motion):
    """A run of the joint classifier with these percentages of appearance, motion and both errors."""
    appearance, motion, both = shares
    values = {
        ("appearance_errors", "original"): appearance,
        ("motion_errors", "original"): motion,
        ("both_errors", "original"): both,
        ("joint_accuracy", "original"): 100 - sum(shares),
        ("motion_accuracy", "original"): 100 - motion - both,
        ("appearance_accuracy", "original"): 100 - appearance - both,
        ("joint_accuracy", "reverse"): 5.0,
        ("motion_accuracy", "reverse"): reversed_motion,
        ("appearance_accuracy", "reverse"): 50.0,
    }
    figures = [
        Figure(name=name, value=value, unit="%", level="video", variant=variant)
        for (name, variant), value in values.items()
    ]
    run = RunResults(name=folder.name, model="r3d_small", num_classes=100, num_videos=10, data_fingerprint="0")
    run.results = {"factor_errors": Result(figures=figures)}
    write_results(folder, run)


def test_table_1_from_the_papers_own_figures(study, tmp_path, capsys):
    made_up_run(tmp_path / "brush_joint_seed0", (2.49, 0.11, 0.03), 11.3)
    made_up_run(tmp_path / "brush_joint_seed1", (4.49, 0.11, 0.03), 13.3)
    for seed in (0, 1):
        made_up_run(tmp_path / f"brush_footprint_seed{seed}", (1.89, 2.13, 0.04), 11.3)
    study.main(["table1", "--out", str(tmp_path), "--seeds", "0", "1"])
    table = (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert table.strip() in capsys.readouterr().out
    assert "| (a) videos | 3.5 % (2.5 % to 4.5 %) | 0.1 % (0.1 % to 0.1 %) |" in table
    assert "| (b) their footprints | 1.9 % (1.9 % to 1.9 %) | 2.1 % (2.1 % to 2.1 %) |" in table
    assert "| reverse | 5.0 % (5.0 % to 5.0 %) | 12.3 % (11.3 % to 13.3 %) |" in table
    assert "| 11.3 % |" in table


def test_a_run_that_fails_ends_the_study_and_says_where_its_log_is(study, tmp_path):
    with pytest.raises(TrainingError, match=r"exit code 2; see .*brush_motion_seed0.log\.txt"):
        study.main(["truth", "--out", str(tmp_path), "--seeds", "0", "--set", "SOLVER.NO_SUCH_KEY", "1"])
    assert "NO_SUCH_KEY" in (tmp_path / "brush_motion_seed0" / "log.txt").read_text(encoding="utf-8")
