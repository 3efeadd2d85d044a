"""The configurations of dynamic representation learning: they say what the supplement's Table 1 says, the study's runs
are valid, and its tables put the runs' results beside the paper's.
"""

import shlex
from pathlib import Path

import pytest
import torch
import yaml

from pvbias.config import complete, load_cfg
from pvbias.engine.checkpoint import KEYS, checkpoint_path
from pvbias.engine.solver import build_lr_schedule
from pvbias.errors import ConfigError
from pvbias.evaluation import Figure, Result
from pvbias.models import build_recognizer
from pvbias.report.results import RunResults, write_results
from pvbias.run.study import Study
from pvbias.tools.main import main

from .studies import script

PROJECT = Path(__file__).parents[2] / "projects" / "drl"

CLASSES = {"minikinetics": 200, "kinetics": 400, "ucf101": 101, "hmdb51": 51, "diving48": 48}
#: Frames and crop, paper, Table 3.
INPUTS = {"r3d_18": (16, 112), "r3d_50": (16, 112), "tsm_r18": (8, 224), "tsm_r50": (8, 224)}


def read(path, *overrides):
    """A configuration as a run would have it; of a model where it names none itself."""
    cfg = load_cfg(path, list(overrides))
    if not cfg.MODEL.MODEL_NAME:
        cfg.MODEL.MODEL_NAME = "r3d_18"
    return complete(cfg, num_classes=2)


def composed(folder, *parts):
    """The file that joins some of the project's."""
    path = folder / "joined.yaml"
    path.write_text(yaml.safe_dump({"_BASE_": [str(PROJECT / part) for part in parts]}))
    return path


#: Supplement, Table 1: epochs, weight decay, frozen BatchNorm, and the rate just before and after each change of it.
TABLE_1 = {
    "minikinetics/pretrain": (50, 1e-4, False, {0: 0.1, 19.9: 0.1, 20.1: 0.01, 39.9: 0.01, 40.1: 0.001, 49.9: 0.001}),
    "minikinetics/finetune": (25, 1e-4, True, {0: 0.01, 9.9: 0.01, 10.1: 0.001, 19.9: 0.001, 20.1: 1e-4, 24.9: 1e-4}),
    "kinetics/pretrain": (
        100,
        1e-4,
        False,
        {0: 0.1, 29.9: 0.1, 30.1: 0.01, 59.9: 0.01, 60.1: 0.001, 89.9: 0.001, 90.1: 1e-4, 99.9: 1e-4},
    ),
    "kinetics/finetune": (25, 1e-4, True, {0: 0.01, 9.9: 0.01, 10.1: 0.001, 19.9: 0.001, 20.1: 1e-4, 24.9: 1e-4}),
    "diving48/finetune": (50, 1e-3, False, {0: 0.01, 19.9: 0.01, 20.1: 0.001, 39.9: 0.001, 40.1: 1e-4, 49.9: 1e-4}),
}
for _data_set in ("ucf101", "hmdb51", "diving48"):
    TABLE_1[f"{_data_set}/pretrain"] = (100, 1e-3, False, TABLE_1["kinetics/pretrain"][3])
for _data_set in ("ucf101", "hmdb51"):
    TABLE_1[f"{_data_set}/finetune"] = (30, 1e-3, True, {0: 0.001, 19.9: 0.001, 20.1: 1e-4, 29.9: 1e-4})


@pytest.mark.parametrize("schedule", TABLE_1)
def test_schedules_are_those_of_table_1(schedule):
    epochs, decay, frozen, rates = TABLE_1[schedule]
    cfg = read(PROJECT / f"{schedule}.yaml")
    assert (cfg.SOLVER.OPTIMIZING_METHOD, cfg.TRAIN.BATCH_SIZE) == ("sgd", 64)
    assert (epochs, decay, frozen) == (cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.WEIGHT_DECAY, cfg.BN.FREEZE)
    assert CLASSES[schedule.split("/")[0]] == cfg.MODEL.NUM_CLASSES
    for solver in (cfg.SOLVER, cfg.STUDENT.SOLVER):
        schedule_at = build_lr_schedule(solver)
        assert {epoch: schedule_at(epoch) for epoch in rates} == pytest.approx(rates)


def test_every_data_set_has_its_three_schedules():
    found = {str(path.relative_to(PROJECT).with_suffix("")) for name in CLASSES for path in (PROJECT / name).iterdir()}
    assert found == {f"{name}/{stage}" for name in CLASSES for stage in ("pretrain", "linear", "finetune")}
    assert {name for name in found if "linear" not in name} == set(TABLE_1)


@pytest.mark.parametrize("model", INPUTS)
def test_any_schedule_joins_any_model(model, tmp_path):
    for schedule in [*PROJECT.glob("*/pretrain.yaml"), *PROJECT.glob("*/linear.yaml"), PROJECT / "mimetics/test.yaml"]:
        cfg = read(composed(tmp_path, schedule, f"models/{model}.yaml"))
        data, test = cfg.DATA, cfg.TEST
        assert (data.NUM_FRAMES, data.TRAIN_CROP_SIZE) == (data.NUM_FRAMES, data.TEST_CROP_SIZE) == INPUTS[model]
        assert (data.TEMPORAL_SAMPLING, data.CLIP_DURATION) == ("duration", 1.0)
        assert (test.NUM_ENSEMBLE_VIEWS, test.NUM_SPATIAL_CROPS) == (10, 1)
        assert data.RANDOM_FLIP
        assert cfg.TRAIN.TRANSFORMS == ["color_jitter"]
        assert (32 if model == "tsm_r50" else 64) == cfg.TRAIN.BATCH_SIZE
        assert model == cfg.MODEL.MODEL_NAME


@pytest.mark.parametrize(
    ("method", "objective", "attack"),
    [
        ("baseline", "CrossEntropy", "fgsm"),
        ("drl_fgsm", "DRLAdversarial", "fgsm"),
        ("drl_pgd", "DRLAdversarial", "pgd"),
        ("drl_distill", "DRLDistill", "fgsm"),
        ("drl_freeze", "DRLFreeze", "fgsm"),
        ("drl_shuffle", "DRLShuffle", "fgsm"),
    ],
)
def test_methods_have_the_hyperparameters_of_the_supplements_table_2(method, objective, attack, tmp_path):
    cfg = read(composed(tmp_path, "minikinetics/pretrain.yaml", "models/r3d_18.yaml", f"methods/{method}.yaml"))
    assert (objective, attack) == (cfg.OBJECTIVE.NAME, cfg.DRL.ATTACK)
    assert (cfg.DRL.ALPHA, cfg.DRL.BETA, cfg.DRL.EPSILON, cfg.DRL.LAMBDA) == (0.5, 0.5, 8.0, 0.5)


def test_linear_evaluation_trains_the_final_projection_alone():
    small = ("DATA.NUM_FRAMES", "4", "DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32")
    cfg = read(PROJECT / "ucf101/linear.yaml", *small)
    recognizer = build_recognizer(cfg)
    assert cfg.BN.FREEZE
    assert trainable(recognizer) == {"fc.weight", "fc.bias"}


def trainable(recognizer):
    return {name for name, parameter in recognizer.module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("example", sorted((PROJECT / "examples").iterdir()), ids=lambda path: path.stem)
def test_examples_are_complete(example):
    cfg = read(example)
    data_set = example.stem.split("_")[0]
    assert CLASSES[data_set] == cfg.MODEL.NUM_CLASSES
    assert Path(cfg.OUTPUT_DIR).name == example.stem
    if "tsm_r50" in example.stem:  # 32 instead of 64 clips
        assert (cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH) == (32, 0.005, 25)
    if data_set == "hmdb51":  # what they start from is what the other example writes last
        before = read(PROJECT / "examples" / "kinetics_r3d_18_drl_freeze.yaml")
        assert str(checkpoint_path(before.OUTPUT_DIR, int(before.SOLVER.MAX_EPOCH))) == cfg.TRAIN.CHECKPOINT_FILE_PATH


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


def planned(study, out, capsys, *tables):
    """The runs that a dry run names, each read as a configuration, by the name of their folder."""
    study.main([*tables, "--data", str(out / "videos"), "--out", str(out), "--dry-run"])
    found = {}
    for line in capsys.readouterr().out.splitlines():
        program, *arguments = shlex.split(line)
        assert Path(program).exists()
        assert arguments[:2] == ["run", "--cfg"]
        cfg = read(arguments[2], *arguments[3:])
        name = Path(cfg.OUTPUT_DIR).name.removesuffix("_seed0")
        assert name not in found
        found[name] = cfg
    return found


def finished(folder, **values):
    """A run that is done: results with a top-1 accuracy (or other figures), and weights."""
    figures = {
        "accuracy": [Figure(name="top1", value=values.get("top1", 50.0), unit="%", level="video")],
        "dynamic_score": [
            Figure(name="dynamic_score", value=values.get(name, 1.0), unit="nats", level="clip", variant=variant)
            for name, variant in (("freeze", "freeze_random"), ("shuffle", "shuffle"))
        ],
        "dynamic_score_distill": [
            Figure(name="dynamic_score", value=values.get("distill", 1.0), unit="nats", level="clip", variant="distill")
        ],
    }
    run = RunResults(name=folder.name, model="r3d_18", num_classes=2, num_videos=10, data_fingerprint="0")
    run.results = {name: Result(figures=of_one) for name, of_one in figures.items()}
    write_results(folder, run)
    path = checkpoint_path(str(folder), 100)
    path.parent.mkdir(parents=True)
    torch.save(dict.fromkeys(KEYS, 0), path)
    return path


def test_the_two_stream_network_is_scored_and_trained_as_one(study, tmp_path, capsys):
    weights = finished(tmp_path / "kinetics_two_stream_r18_baseline_seed0")
    runs = planned(study, tmp_path, capsys, "table6")
    drl = runs["kinetics_two_stream_r18_drl_freeze"]
    assert (drl.OBJECTIVE.NAME, drl.TWO_STREAM.FLOW_FRAMES, drl.DATA.MODALITY) == ("DRLFreeze", 5, "rgb+flow")
    assert len(drl.DATA.MEAN) == 3 + 2 * 5
    assert str(tmp_path / "videos" / "kinetics" / "flow") == drl.DATA.FLOW_DIR
    linear = runs["hmdb51_linear_two_stream_r18_after_baseline"]
    assert (str(weights), [drl.MODEL.MODEL_NAME]) == (linear.TRAIN.CHECKPOINT_FILE_PATH, ["TwoStream"])
    assert str(tmp_path / "videos" / "hmdb51" / "flow") == linear.DATA.FLOW_DIR


def test_few_shot_episodes_are_of_features_extracted_once(study, tmp_path, capsys):
    finished(tmp_path / "kinetics_r3d_18_baseline_seed0")
    options = ["table4", "--data", str(tmp_path / "videos"), "--out", str(tmp_path)]
    study.main([*options, "--dry-run"])
    lines = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines() if " run --cfg " not in line]
    assert [words[0] for words in lines] == ["features", "transfer", "features", "transfer"]
    features = str(tmp_path / "features" / "jester_kinetics_r3d_18_baseline_seed0")
    assert lines[2][1:] == [
        *(str(tmp_path / "kinetics_r3d_18_baseline_seed0"), "--data", str(tmp_path / "videos" / "jester" / "test.csv")),
        *("--path-prefix", str(tmp_path / "videos" / "jester"), "--out", features),
    ]
    assert lines[3][1:3] == ["few-shot", features]
    for target, accuracy in (("something_v2", 31.0), ("jester", 28.0)):
        run = RunResults(name="few", model="r3d_18", num_classes=5, num_videos=10, data_fingerprint="0")
        shots = ((1, accuracy), (5, accuracy + 10))
        figures = [Figure(name=f"5way_{k}shot", value=value, unit="%", level="video") for k, value in shots]
        run.results = {"transfer": Result(figures=figures)}
        write_results(tmp_path / "few_shot" / f"{target}_kinetics_r3d_18_baseline_seed0", run)
    study.main(["table4", "--out", str(tmp_path)])
    table = (tmp_path / "table4.md").read_text(encoding="utf-8")
    assert "| 3D ResNet-18, Baseline | 30.34 | 31.00 | 40.72 | 41.00 | 27.42 | 28.00 | 39.12 | 38.00 |" in table


def test_weights_are_swept_as_submit_does(study, tmp_path, capsys):
    """The study goes on from the folders that `pvbias submit --sweep` fills."""
    options = ["figure4", "--data", str(tmp_path / "videos"), "--out", str(tmp_path), "--dry-run"]
    study.main(options)
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 1 + 3 * 4
    folders = {Path(words[-1]).relative_to(tmp_path).as_posix() for words in lines}
    assert "figure4_drl_freeze/DRL.LAMBDA=0.25,RNG_SEED=0" in folders
    config = tmp_path / "figure4_drl_freeze" / "run.yaml"
    keys = ["OUTPUT_DIR", str(config.parent), "SLURM.GPUS_PER_NODE", "0", "--cluster", "local", "--files-elsewhere"]
    main(["submit", "--cfg", str(config), *keys, "--dry-run", "--sweep", "DRL.LAMBDA=0.25,1", "RNG_SEED=0"])
    assert "/figure4_drl_freeze/DRL.LAMBDA=0.25,RNG_SEED=0" in capsys.readouterr().out
    weights = finished(tmp_path / "figure4_drl_freeze" / "DRL.LAMBDA=1,RNG_SEED=0")
    study.main(options)
    starting = [line for line in capsys.readouterr().out.splitlines() if "_after_" in line]
    assert len(starting) == 3
    linear = read(tmp_path / "hmdb51_linear_r3d_18_after_minikinetics_drl_freeze_lambda1_seed0" / "run.yaml")
    assert str(weights) == linear.TRAIN.CHECKPOINT_FILE_PATH


def test_weights_take_the_place_of_a_pre_training(study, tmp_path, capsys):
    given = tmp_path / "mine.pyth"
    given.touch()
    options = ["table3", "--data", str(tmp_path), "--out", str(tmp_path), "--dry-run"]
    study.main([*options, "--weights", f"kinetics_r3d_18_drl_freeze={given}"])
    capsys.readouterr()
    tested = read(tmp_path / "kinetics_r3d_18_drl_freeze_seed0" / "run.yaml")
    assert (False, str(given)) == (tested.TRAIN.ENABLE, tested.TRAIN.CHECKPOINT_FILE_PATH)
    linear = read(tmp_path / "ucf101_linear_r3d_18_after_drl_freeze_seed0" / "run.yaml")
    assert (True, str(given)) == (linear.TRAIN.ENABLE, linear.TRAIN.CHECKPOINT_FILE_PATH)
    with pytest.raises(ConfigError, match=r"no training is called 'kinetics_r3d_18'"):
        study.main([*options, "--weights", f"kinetics_r3d_18={given}"])


def test_figure_4_draws_what_was_run(study, tmp_path):
    for method, accuracy in (("baseline", 40.0), ("drl_freeze_lambda1", 45.0)):
        finished(tmp_path / f"hmdb51_linear_r3d_18_after_minikinetics_{method}_seed0", top1=accuracy)
    study.main(["figure4", "--out", str(tmp_path)])
    table = (tmp_path / "figure4.md").read_text(encoding="utf-8")
    assert "| DRL Freeze, 0 |  | 40.00 |  |" in table
    assert "| DRL Freeze, 1 |  | 45.00 |  |" in table
    assert "| DRL Shuffle, 1 |  |  |  |" in table
    assert (tmp_path / "figure4.png").exists()


def test_every_run_of_the_study_is_a_valid_configuration(study, tmp_path, capsys):
    runs = planned(study, tmp_path, capsys, "table2", "table3", "table5")
    # 6 methods; 8 pre-trainings, and those of 3 methods for Table 5; from random weights 2 x 3, from ImageNet's 2 x 3
    # twice. Nothing that is still to be pre-trained.
    assert len(runs) == 6 + 8 + 3 + 6 + 12
    assert runs["minikinetics_r3d_18_drl_pgd"].DRL.ATTACK == "pgd"
    assert "dynamic_score_distill" in runs["minikinetics_r3d_18_drl_pgd"].BIAS.EVALUATORS
    assert str(tmp_path / "videos" / "minikinetics") == runs["minikinetics_r3d_18_drl_pgd"].DATA.PATH_TO_DATA_DIR
    solver = runs["kinetics_tsm_r50_drl_freeze"].SOLVER
    assert (runs["kinetics_tsm_r50_drl_freeze"].TRAIN.BATCH_SIZE, solver.BASE_LR) == (32, 0.005)
    assert build_lr_schedule(solver)(10.1) == pytest.approx(0.0005)
    assert runs["kinetics_tsm_r18_drl_freeze"].SOLVER.BASE_LR == 0.01
    assert runs["kinetics_r3d_50_drl_freeze"].SOLVER.BASE_LR == 0.1
    assert runs["hmdb51_finetune_r3d_50_after_none"].SOLVER.BASE_LR == 0.1  # from scratch
    assert runs["hmdb51_finetune_r3d_50_after_none"].TRAIN.CHECKPOINT_FILE_PATH == ""
    assert runs["hmdb51_finetune_tsm_r50_after_none"].SOLVER.BASE_LR == 0.0005
    assert "tsm_r50/imagenet" in runs["hmdb51_finetune_tsm_r50_after_none"].TRAIN.CHECKPOINT_FILE_PATH


def test_transfer_starts_from_the_pre_training_that_its_row_names(study, tmp_path, capsys):
    weights = finished(tmp_path / "kinetics_tsm_r50_drl_freeze_seed0")
    runs = planned(study, tmp_path, capsys, "table3")
    after = {name: cfg for name, cfg in runs.items() if name.endswith("after_drl_freeze")}
    assert set(after) == {
        f"{target}_{stage}_tsm_r50_after_drl_freeze"
        for target in ("ucf101", "hmdb51", "diving48")
        for stage in ("linear", "finetune")
    }
    for cfg in after.values():
        assert str(weights) == cfg.TRAIN.CHECKPOINT_FILE_PATH
        assert (cfg.OBJECTIVE.NAME, cfg.TRAIN.BATCH_SIZE) == ("CrossEntropy", 32)
    linear = after["ucf101_linear_tsm_r50_after_drl_freeze"]
    assert (linear.SOLVER.BASE_LR, linear.BN.FREEZE, len(linear.MODEL.FREEZE)) == (0.05, True, 1)
    weights = finished(tmp_path / "kinetics_r3d_18_baseline_seed0")
    tested = planned(study, tmp_path, capsys, "table5")["mimetics_r3d_18_baseline"]
    assert (False, str(weights)) == (tested.TRAIN.ENABLE, tested.TRAIN.CHECKPOINT_FILE_PATH)


def test_tables_put_results_beside_the_papers(study, tmp_path, capsys):
    for seed, scores in enumerate(({"distill": 0.5, "freeze": 1.75, "shuffle": 1.5}, {"distill": 0.7, "freeze": 1.25})):
        for method in study.METHODS:
            finished(tmp_path / f"minikinetics_r3d_18_{method}_seed{seed}", **scores)
    study.main(["table2", "--data", "videos", "--out", str(tmp_path), "--seeds", "0", "1"])
    table = (tmp_path / "table2.md").read_text(encoding="utf-8")
    assert table.strip() in capsys.readouterr().out
    ours = ("0.60 (0.50 to 0.70)", "1.50 (1.25 to 1.75)", "1.25 (1.00 to 1.50)")
    assert "| DRL Freeze, lambda = 0.5 | 0.62 | {} | 2.21 | {} | 1.70 | {} |".format(*ours) in table
    for method, accuracy in (
        *(("baseline", 20.0), ("learned_mixin", 12.0), ("rubi", 13.0), ("rebias", 22.0)),
        ("drl_freeze", 30.0),
    ):
        finished(tmp_path / f"kinetics_r3d_18_{method}_seed0")
        finished(tmp_path / f"mimetics_r3d_18_{method}_seed0", top1=accuracy)
    study.main(["table5", "--data", "videos", "--out", str(tmp_path)])
    lines = (tmp_path / "table5.md").read_text(encoding="utf-8").splitlines()
    assert lines[2:] == [
        "| Baseline | 18.9 | 20.0 |",
        "| Learned-Mixin | 11.4 | 12.0 |",
        "| RUBi | 13.4 | 13.0 |",
        "| ReBias | 22.4 | 22.0 |",
        "| DRL | 26.4 | 30.0 |",
    ]


def test_the_readme_has_the_tables_of_the_study(study, tmp_path):
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    nothing_run = study.Tables(study=Study(out=tmp_path), data=tmp_path, seeds=())
    for table in study.TABLES.values():
        for part in table(nothing_run).split("\n\n"):
            assert part in readme
