"""Configurations: what is accepted, and what a user is told when something is wrong."""

from pathlib import Path

import pytest
import yaml

from pvbias.config import complete, load_cfg, save_cfg
from pvbias.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_layers_override_each_other_in_order(tmp_path):
    write(tmp_path / "base.yaml", "SOLVER: {BASE_LR: 0.5, MAX_EPOCH: 3}\nMODEL: {MODEL_NAME: x3d_xs}\n")
    top = write(tmp_path / "top.yaml", "_BASE_: base.yaml\nSOLVER: {BASE_LR: 0.25}\n")
    cfg = load_cfg(top, ["SOLVER.MAX_EPOCH", "7", "DATA.MEAN", "[0.1, 0.2, 0.3]"])
    assert (cfg.MODEL.MODEL_NAME, cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH) == ("x3d_xs", 0.25, 7.0)
    assert cfg.DATA.MEAN == [0.1, 0.2, 0.3]


def test_several_bases_are_read_in_order(tmp_path):
    write(tmp_path / "a.yaml", "RNG_SEED: 1\nLOG_PERIOD: 5\n")
    write(tmp_path / "b.yaml", "RNG_SEED: 2\n")
    cfg = load_cfg(write(tmp_path / "top.yaml", "_BASE_: [a.yaml, b.yaml]\n"))
    assert (cfg.RNG_SEED, cfg.LOG_PERIOD) == (2, 5)


def test_scientific_notation_without_a_point_is_a_number(tmp_path):
    cfg = load_cfg(write(tmp_path / "c.yaml", "SOLVER: {WEIGHT_DECAY: 1e-4}\n"), ["SOLVER.BASE_LR", "1e-3"])
    assert (cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.BASE_LR) == (1e-4, 1e-3)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("DATA: {NUM_FRAME: 8}", "DATA.NUM_FRAME", "'DATA.NUM_FRAMES'"),
        ("SOLVR: {BASE_LR: 1.0}", "SOLVR", "'SOLVER'"),
        ("BASE_LR: 1.0", "BASE_LR", "'SOLVER.BASE_LR'"),
        ("DATA.NUM_FRAMES: 8", "DATA.NUM_FRAMES", "groups are nested: DATA: {NUM_FRAMES: ...}"),
        ("DATA: {NUM_FRAMES: sixteen}", "DATA.NUM_FRAMES", "a whole number"),
        ("DATA: {NUM_FRAMES: 8.5}", "DATA.NUM_FRAMES", "a whole number"),
        ("TRAIN: {ENABLE: 1}", "TRAIN.ENABLE", "True or False"),
        ("TRAIN: 1", "TRAIN", "a group of keys"),
        ("DATA: {NUM_FRAMES: 0}", "DATA.NUM_FRAMES = 0", "at least 1"),
        (
            "DATA: {TEST_CROP_SIZE: 256, TEST_SHORT_SIDE: 224}",
            "DATA.TEST_CROP_SIZE = 256",
            "DATA.TEST_SHORT_SIDE = 224",
        ),
        ("DATA: {TRAIN_JITTER_SCALES: [100, 120], TRAIN_CROP_SIZE: 112}", "DATA.TRAIN_JITTER_SCALES", "would not fit"),
        ("MODEL: {MODEL_NAME: x3d_z}", "MODEL.MODEL_NAME", "'x3d_s'"),
        ("OBJECTIVE: {NAME: crossentropy}", "OBJECTIVE.NAME", "'CrossEntropy'"),
        ("BIAS: {EVALUATORS: [dynamic_scor]}", "BIAS.EVALUATORS", "'dynamic_score'"),
        ("SOLVER: {LR_POLICY: cosin}", "SOLVER.LR_POLICY", "'cosine'"),
        ("SOLVER: {STEPS: [0, 10], LRS: [1.0]}", "SOLVER.STEPS", "as many entries"),
        ("PLUGINS: [no_such_lab.plugin]", "no_such_lab", "ModuleNotFoundError"),
        ("- a\n- b", "", "a tree of keys"),
        ("DATA: {NUM_FRAMES: [", "", "not valid YAML"),
        ("RNG_SEED: 1\a", "", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_one_error_that_names_file_and_key(tmp_path, text, key, hint):
    path = write(tmp_path / "wrong.yaml", text + "\n")
    with pytest.raises(ConfigError) as caught:
        load_cfg(path)
    message = str(caught.value)
    assert key in message
    assert hint in message
    if "PLUGINS" not in text:
        assert str(path) in message


def test_a_value_of_the_command_line_that_is_no_text():
    """A byte that is not UTF-8 comes as a lone surrogate."""
    with pytest.raises(ConfigError, match=r"BIAS\.BREAK_DOWN_BY must be a list"):
        load_cfg(None, ["BIAS.BREAK_DOWN_BY", "['caf\udce9']"])


def test_errors_name_the_base_file_they_come_from(tmp_path):
    base = write(tmp_path / "base.yaml", "DATA: {NUM_FRAMES: 0}\n")
    top = write(tmp_path / "top.yaml", "_BASE_: base.yaml\nRNG_SEED: 1\n")
    with pytest.raises(ConfigError, match=str(base)):
        load_cfg(top)


def test_errors_name_the_command_line(tmp_path):
    with pytest.raises(ConfigError, match=r"command line: unknown key TEST\.BATCHSIZE.*TEST\.BATCH_SIZE"):
        load_cfg(None, ["TEST.BATCHSIZE", "3"])
    with pytest.raises(ConfigError, match="has no value"):
        load_cfg(None, ["TEST.BATCH_SIZE"])


def test_a_circle_of_bases_and_a_missing_base_are_errors(tmp_path):
    write(tmp_path / "a.yaml", "_BASE_: b.yaml\n")
    write(tmp_path / "b.yaml", "_BASE_: a.yaml\n")
    with pytest.raises(ConfigError, match="circle"):
        load_cfg(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"gone\.yaml.*_BASE_ of"):
        load_cfg(write(tmp_path / "c.yaml", "_BASE_: gone.yaml\n"))


def test_completion_takes_the_models_own_clips():
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "x3d_s"]), num_classes=12)
    assert (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TRAIN_CROP_SIZE) == (13, 6, 160)
    assert cfg.MODEL.NUM_CLASSES == 12


def test_a_run_needs_a_model():
    with pytest.raises(ConfigError, match=r"MODEL\.MODEL_NAME is not set.*c2d_r50"):
        complete(load_cfg(), num_classes=2)


def test_what_contradicts_the_model_says_which_value_is_the_models():
    cfg = load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs", "DATA.TEST_CROP_SIZE", "32"])

    with pytest.raises(ConfigError, match=r"as the model was trained: DATA.TRAIN_CROP_SIZE = 160 .* = 32 \(the confi"):
        complete(cfg, num_classes=2)


def test_test_sizes_follow_the_training_crop():
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "slow_r50", "DATA.TRAIN_CROP_SIZE", "112"]), num_classes=2)
    assert (cfg.DATA.TEST_CROP_SIZE, cfg.DATA.TEST_SHORT_SIDE) == (128, 128)
    assert cfg.DATA.TRAIN_JITTER_SCALES == [128, 160]


def test_the_short_side_follows_the_test_crop():
    """MViT sees 224 of 256 pixels, and 96 of 256 / 224 * 96 = 109.7; Slow 256 of 256, and 96 of 96."""
    for model, short_side in (("mvit_base_16x4", 110), ("slow_r50", 96)):
        keys = ["MODEL.MODEL_NAME", model, "DATA.TRAIN_CROP_SIZE", "96", "DATA.TEST_CROP_SIZE", "96"]
        cfg = complete(load_cfg(None, keys), num_classes=2)
        assert (96, short_side) == (cfg.DATA.TEST_CROP_SIZE, cfg.DATA.TEST_SHORT_SIDE)


def test_completion_finds_contradictions_with_the_models_own_sizes():
    with pytest.raises(ConfigError, match="TEST_SHORT_SIDE"):
        complete(load_cfg(None, ["MODEL.MODEL_NAME", "x3d_m", "DATA.TEST_SHORT_SIDE", "100"]), num_classes=2)


def test_a_saved_configuration_gives_the_same_run(tmp_path):
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "mvit_base_16x4", "RNG_SEED", "3"]), num_classes=5)
    again = complete(load_cfg(save_cfg(cfg, str(tmp_path))), num_classes=99)
    assert again == cfg


def test_every_key_has_a_comment():
    import pvbias.config.defaults as defaults

    lines = Path(defaults.__file__).read_text().splitlines()
    bare = []
    documented = False
    for line in lines:
        if line.startswith("#"):
            documented = True
        elif line.startswith("_C.") and "CN()" not in line:
            if not documented:
                bare.append(line)
        elif not line.strip():
            documented = False
    assert not bare
    assert yaml.safe_load(load_cfg().dump())


def test_of_two_values_on_the_command_line_the_last_one_counts():
    assert load_cfg(None, ["RNG_SEED", "1", "LOG_PERIOD", "5", "RNG_SEED", "2"]).RNG_SEED == 2
