"""The study on made-up videos: its runs are valid configurations, and its tables say what the runs' results say."""

from pathlib import Path

import numpy as np
import pytest

from pvbias.engine.checkpoint import checkpoint_path
from pvbias.evaluation import Figure, Result

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "training_data"


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "made_up.py")


def finished(folder, original, shuffled=None):
    """A run that is done: its accuracy, on shuffled clips as well if that is given (percent)."""
    figures = [Figure(name="top1", value=original, unit="%", level="video")]
    results = {"accuracy": Result(figures=list(figures))}
    if shuffled is not None:
        figures.append(Figure(name="top1", value=shuffled, unit="%", level="video", variant="shuffle"))
        results["modulated_accuracy"] = Result(figures=figures)
    write_run(folder, results)


def test_sources_first_then_what_starts_from_them(study, tmp_path, capsys):
    runs = planned(study, tmp_path, capsys, "--seeds", "3")
    assert len(runs) == 8 + 2 + 2  # sources, the two fine-grained ones once more, and targets from random weights
    joint, tied = runs["brush_joint_seed3"], runs["places_motion_rho0.5_seed3"]
    assert (joint.MODEL.NUM_CLASSES, runs["places_joint_seed3"].MODEL.NUM_CLASSES) == (100, 25)
    assert (tied.DECOUPLED.RHO, tied.DECOUPLED.CONTEXT, tied.DECOUPLED.LABEL) == (0.5, "train", "motion")
    assert (
        runs["places_motion_seed3"].DECOUPLED.TRAIN_VIDEOS
        == 2 * runs["places_motion_small_seed3"].DECOUPLED.TRAIN_VIDEOS
    )
    scratch = runs["motion_after_scratch_seed3"]
    assert (scratch.TRAIN.CHECKPOINT_FILE_PATH, scratch.DECOUPLED.RHO) == ("", 0.0)
    assert scratch.DECOUPLED.SEED != joint.DECOUPLED.SEED == tied.DECOUPLED.SEED
    finished(tmp_path / "brush_joint_seed3", 10.0, 5.0)
    runs = planned(study, tmp_path, capsys, "--seeds", "3")
    after = {name: cfg for name, cfg in runs.items() if "_after_brush" in name}
    assert after.keys() == {"motion_after_brush_joint_seed3", "appearance_after_brush_joint_seed3"}
    weights = str(checkpoint_path(str(tmp_path / "brush_joint_seed3"), 2))
    assert {(cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.MODEL.NUM_CLASSES) for cfg in after.values()} == {(weights, 5)}


def test_places_are_shared_between_sources_and_targets(study, tmp_path, capsys):
    for split in ("train", "test"):
        for name in "cafebd":
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
    shared = study.Pictures.share(tmp_path / "out", str(tmp_path / "pictures"), "")
    for keys, classes in ((shared.sources, {"a", "b", "c"}), (shared.targets, {"d", "e", "f"})):
        assert keys[0] == "DECOUPLED.PLACES_DIR"
        for split in ("train", "test"):
            assert {path.name for path in (Path(keys[1]) / split).iterdir()} == classes
    assert study.Pictures.share(tmp_path / "out", str(tmp_path / "pictures"), "") == shared


def test_tables_say_what_the_runs_say(study, tmp_path, capsys):
    """Accuracy on motion rises with the log ratio by construction, that on appearance falls."""
    names = [source.name for source in (*study.SOURCES, *study.SMALLER.values())]
    for seed in (0, 1, 2):
        for rank, name in enumerate(names):
            finished(tmp_path / f"{name}_seed{seed}", 80.0, 80.0 / np.exp(0.1 * (rank + 1)))
            finished(tmp_path / f"motion_after_{name}_seed{seed}", 40.0 + rank + seed)
            finished(tmp_path / f"appearance_after_{name}_seed{seed}", 40.0 - rank + seed)
        for target in study.TARGETS:
            finished(tmp_path / f"{target}_after_scratch_seed{seed}", 30.0 + seed)
    study.main(["--out", str(tmp_path), "--seeds", "0", "1", "2"])
    page = (tmp_path / "made_up.md").read_text(encoding="utf-8")
    assert page.strip() in capsys.readouterr().out
    # 40, 41 and 42 points: standard error 1 / sqrt(3), t of 2 degrees of freedom 4.303.
    row = "| places_appearance | generic | 1000 | 80.0 ± 0.0 | 72.4 ± 0.0 | 0.10 ± 0.00 | 41.0 ± 2.5 | 41.0 ± 2.5 |"
    assert row in page
    assert "| random weights |  |  |  |  |  | 31.0 ± 2.5 | 31.0 ± 2.5 |" in page
    assert "| matched | motion | +1.00 ± 0.00 | +1.00 | 0.000 |" in page
    assert "| unmatched | appearance | -1.00 ± 0.00 | -1.00 | 0.000 |" in page
    # Fine-grained: ranks 4 and 7; generic: 0 and 1.
    assert "| (iii) matched: fine-grained sources are better for motion, points | +5.00 ± 0.00 | held |" in page
    assert "| (iii) matched: generic sources are better for appearance, points | +5.00 ± 0.00 | held |" in page
    # Smaller ones: ranks 8 and 9.
    assert "| half the videos make fine-grained sources worse for motion, points | -3.00 ± 0.00 | not held" in page


@pytest.mark.parametrize(
    ("values", "said"),
    [((1.0, 1.1, 0.9), "held"), ((-1.0, -1.1), "not held: it is"), ((1.0, -1.0), "cannot be told"), ((1.0,), "cannot")],
)
def test_what_is_said_of_a_claim(study, values, said):
    assert study.said(np.array(values)).startswith(said)
