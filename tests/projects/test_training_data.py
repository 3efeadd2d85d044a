"""The study of training data: its configurations say what section 3.4 says, and its tables what the runs say."""

from pathlib import Path

import pytest

from pvbias.config import complete, load_cfg
from pvbias.engine.checkpoint import checkpoint_path
from pvbias.engine.solver import build_lr_schedule
from pvbias.evaluation import Figure, Result

from .studies import script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "training_data"
#: Classes, section 3.3 and the data sets' own pages.
CLASSES = {
    "kinetics400": 400,
    "moments": 339,
    "activitynet": 200,
    "ucf101": 101,
    "hmdb51": 51,
    "something_v2": 174,
    "jester": 27,
    "gym288": 288,
    "diving48": 48,
}


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


@pytest.mark.parametrize("name", CLASSES)
def test_configurations_are_those_of_section_3_4(name):
    cfg = complete(load_cfg(PROJECT / "datasets" / f"{name}.yaml"), num_classes=CLASSES[name])
    assert ("r3d_50", CLASSES[name]) == (cfg.MODEL.MODEL_NAME, cfg.MODEL.NUM_CLASSES)
    assert (cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE) == (32, 112, 112)
    assert (cfg.DATA.TEMPORAL_SAMPLING, cfg.DATA.SAMPLING_RATE, cfg.DATA.WINDOW_STRIDE) == ("windows", 1, 16)
    assert (cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.MOMENTUM) == (128, 1e-4, 0.9)
    assert pytest.approx([2 ** (-step / 4) for step in range(5)], abs=1e-4) == cfg.DATA.TRAIN_CORNER_SCALES
    rate = build_lr_schedule(cfg.SOLVER)
    rates = {0: 0.03, 99.9: 0.03, 100.1: 0.003, 199.9: 0.003, 200.1: 0.0003, 249.9: 0.0003}
    assert {epoch: rate(epoch) for epoch in rates} == pytest.approx(rates)
    assert cfg.SOLVER.MAX_EPOCH == 250


def finished(folder, original, shuffled=None, ratio=None):
    """A run that is done: its accuracy and, if given, that on shuffled clips (percent) and the log ratio."""
    figures = [Figure(name="top1", value=original, unit="%", level="video")]
    results = {"accuracy": Result(figures=list(figures))}
    if shuffled is not None:
        figures.append(Figure(name="top1", value=shuffled, unit="%", level="video", variant="shuffle"))
        figures.append(Figure(name="log_ratio", value=ratio, unit="log ratio", level="video", variant="shuffle"))
        results["modulated_accuracy"] = Result(figures=figures)
    write_run(folder, results)


def commands(study, capsys, *arguments):
    """The overrides of each run that a dry run names, by the name of its folder."""
    study.main([*arguments, "--dry-run"])
    found = {}
    for line in capsys.readouterr().out.splitlines():
        words = line.split()[4:]
        keys = dict(zip(words[::2], words[1::2], strict=True))
        found[Path(keys["OUTPUT_DIR"]).name] = keys
    return found


def test_one_training_a_data_set_then_fine_tuning_from_each_of_the_others(study, tmp_path, capsys):
    options = ("figure2", "--data", str(tmp_path / "videos"), "--out", str(tmp_path))
    assert commands(study, capsys, *options).keys() == {f"{name}_seed0" for name in CLASSES}
    finished(tmp_path / "ucf101_seed0", 45.3, 32.0, 0.35)
    runs = commands(study, capsys, *options)
    assert runs.keys() - {f"{name}_seed0" for name in CLASSES} == {
        "gym288_after_ucf101_seed0",
        "diving48_after_ucf101_seed0",
    }
    after = runs["gym288_after_ucf101_seed0"]
    assert after["TRAIN.CHECKPOINT_FILE_PATH"] == str(checkpoint_path(str(tmp_path / "ucf101_seed0"), 2))
    assert after["DATA.PATH_TO_DATA_DIR"] == str(tmp_path / "videos" / "gym288")


def test_weights_take_the_place_of_a_training(study, tmp_path, capsys):
    options = ("figure2", "--data", str(tmp_path), "--out", str(tmp_path), "--weights", "jester=zoo://a/b")
    runs = commands(study, capsys, *options)
    assert (runs["jester_seed0"]["TRAIN.ENABLE"], runs["jester_seed0"]["TRAIN.CHECKPOINT_FILE_PATH"]) == (
        "False",
        "zoo://a/b",
    )
    assert runs["ucf101_after_jester_seed0"]["TRAIN.CHECKPOINT_FILE_PATH"] == "zoo://a/b"
    assert "TRAIN.ENABLE" not in runs["ucf101_after_jester_seed0"]


def test_without_data_the_papers_figures_stand_beside_nothing(study, tmp_path):
    study.main(["table1", "figure2", "--out", str(tmp_path)])
    table = (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert "| Kinetics-400 | 64.30 |  | 32.70 |  | 0.68 |  |" in table
    # 4 fine-grained ones above 5 generic ones: 2 of the 126 ways to choose 4 of 9.
    assert "fine-grained 1.29 to 2.95; p = 0.016 (Mann-Whitney, exact). Fine-grained ones are larger: held." in table
    assert "Ours: not enough runs." in table
    figure = (tmp_path / "figure2.md").read_text(encoding="utf-8")
    assert "| UCF-101 |  |  |  | - |" in figure
    assert not (tmp_path / "figure2.png").exists()


def test_tables_and_bars_say_what_the_runs_say(study, tmp_path):
    """Accuracy on Diving48 rises with the log ratio, on UCF-101 it falls."""
    for rank, name in enumerate(CLASSES):
        finished(tmp_path / f"{name}_seed0", 50.0, 25.0, 0.25 * rank)
        if name != "diving48":
            finished(tmp_path / f"diving48_after_{name}_seed0", 10.0 + rank)
        if name != "ucf101":
            finished(tmp_path / f"ucf101_after_{name}_seed0", 90.0 - rank)
    study.main(["table1", "figure2", "--out", str(tmp_path)])
    assert "| Jester | 92.00 | 50.00 | 20.10 | 25.00 | 1.52 | 1.50 |" in (tmp_path / "table1.md").read_text()
    figure = (tmp_path / "figure2.md").read_text(encoding="utf-8")
    assert "| Jester | 1.50 |  | 16.00 | 84.00 |" in figure
    # Of the 40,320 orders of 8 the same one and its reverse.
    assert (
        "Diving48 (fine-grained): rank correlation +1.00 (p = 0.000, 8 sources); Something v2 and Jester 15.50 %"
        in figure
    )
    assert "UCF-101 (generic): rank correlation -1.00" in figure
    assert figure.count("%: as in the paper") == 2
    assert (tmp_path / "figure2.png").exists()


def test_the_readme_has_the_papers_table(study, tmp_path):
    study.main(["table1", "--out", str(tmp_path)])
    table = (tmp_path / "table1.md").read_text(encoding="utf-8").split("\n\n")[0]
    assert table in (PROJECT / "README.md").read_text(encoding="utf-8")
