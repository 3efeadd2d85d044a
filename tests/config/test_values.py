"""Values mean what they say or are refused, the same in files and on the command line; nothing is there twice."""

import math

import pytest
import yaml

from pvbias.config import complete, load_cfg, save_cfg
from pvbias.config.checks import value_of
from pvbias.errors import ConfigError

REFUSED = None


def from_file(tmp_path, key, text):
    *groups, name = key.split(".")
    lines = [f"{'  ' * depth}{group}:" for depth, group in enumerate(groups)]
    path = tmp_path / "values.yaml"
    path.write_text("\n".join([*lines, f"{'  ' * len(groups)}{name}: {text}"]) + "\n")
    return load_cfg(path)


#: What follows `KEY:` in a file and `KEY` on the command line, and what it is.
VALUES = [
    ("DATA.NUM_FRAMES", "8", 8),
    ("DATA.NUM_FRAMES", "010", REFUSED),  # YAML 1.1: 8
    ("DATA.NUM_FRAMES", "08", REFUSED),
    ("DATA.NUM_FRAMES", "0x10", 16),
    ("DATA.NUM_FRAMES", "1:30", REFUSED),  # YAML 1.1: 90
    ("DATA.NUM_FRAMES", "8.0", REFUSED),
    ("DATA.NUM_FRAMES", "1e1", REFUSED),
    ("DATA.NUM_FRAMES", "yes", REFUSED),
    ("DATA.NUM_FRAMES", "None", None.__class__),
    ("DATA.NUM_FRAMES", "null", None.__class__),
    ("RNG_SEED", "1_000", 1000),
    ("RNG_SEED", "1_0", REFUSED),  # YAML 1.1: 10
    ("RNG_SEED", "+7", 7),
    ("RNG_SEED", " 7 ", 7),
    ("RNG_SEED", "None", REFUSED),
    ("RNG_SEED", "2026-01-01", REFUSED),
    ("RNG_SEED", "0b11", REFUSED),
    ("SOLVER.BASE_LR", "1e-3", 0.001),
    ("SOLVER.BASE_LR", "1.e-3", 0.001),
    ("SOLVER.BASE_LR", ".5", 0.5),
    ("SOLVER.BASE_LR", "1", 1.0),
    ("SOLVER.BASE_LR", "010", REFUSED),
    ("SOLVER.BASE_LR", "01.5", REFUSED),
    ("SOLVER.BASE_LR", "12:30:00", REFUSED),  # YAML 1.1: 45000
    ("SOLVER.BASE_LR", "190:20:30.15", REFUSED),
    ("SOLVER.BASE_LR", "1,5", REFUSED),
    ("SOLVER.BASE_LR", ".inf", REFUSED),
    ("SOLVER.BASE_LR", "inf", REFUSED),
    ("SOLVER.BASE_LR", "1e999", REFUSED),
    ("SOLVER.WEIGHT_DECAY", "nan", REFUSED),
    ("SOLVER.WEIGHT_DECAY", ".nan", REFUSED),
    ("SOLVER.WEIGHT_DECAY", "true", REFUSED),
    ("TRAIN.ENABLE", "true", True),
    ("TRAIN.ENABLE", "False", False),
    ("TRAIN.ENABLE", "no", False),
    ("TRAIN.ENABLE", "On", True),
    ("TRAIN.ENABLE", "1", REFUSED),
    ("TRAIN.ENABLE", "None", REFUSED),
    ("SLURM.TIME", "12:30:00", "12:30:00"),  # YAML 1.1: 45000
    ("SLURM.TIME", "90", "90"),
    ("SLURM.COMMENT", "no", "no"),  # YAML 1.1: False
    ("SLURM.COMMENT", "2026-01-01", "2026-01-01"),  # YAML 1.1: a date
    ("SLURM.COMMENT", "1_000", "1_000"),
    ("SLURM.COMMENT", "010", "010"),
    ("SLURM.COMMENT", "1e-3", "1e-3"),
    ("SLURM.COMMENT", "null", REFUSED),
    ("DATA.FRAME_PREFIX", "None", None.__class__),
    ("DATA.FRAME_PREFIX", "off", "off"),
    ("SOLVER.STEPS", "[0]", [0]),
    ("SLURM.SBATCH", "[exclusive, no, 12:30:00]", ["exclusive", "no", "12:30:00"]),
    ("SLURM.SBATCH", "[exclusive, 010]", REFUSED),
    ("SLURM.SBATCH", "[exclusive, '010']", ["exclusive", "010"]),
    ("SLURM.SBATCH", "exclusive", REFUSED),
    ("DATA.MEAN", "[4.5e-1, 1e-1, .25]", [0.45, 0.1, 0.25]),
    ("DATA.MEAN", "(0.45, 1e-1, 1)", [0.45, 0.1, 1]),
    ("DATA.MEAN", "[0.45, 010, 1]", REFUSED),
    ("DATA.MEAN", "[0.45, .nan, 1]", REFUSED),
    ("DATA.MEAN", "(0.45, 1e999, 1)", REFUSED),
    ("DATA.MEAN", "[0.45, 0.45, yes]", REFUSED),
    ("DATA.MEAN", "null", None.__class__),
]


@pytest.mark.parametrize(("key", "text", "expected"), VALUES)
def test_a_value_is_what_it_says(tmp_path, key, text, expected):
    for where, load in (
        (str(tmp_path / "values.yaml"), lambda: from_file(tmp_path, key, text)),
        ("command line", lambda: load_cfg(None, [key, text])),
    ):
        if expected is REFUSED:
            with pytest.raises(ConfigError) as caught:
                load()
            assert where in str(caught.value)
            assert key in str(caught.value)
            continue
        value = value_of(load(), key)
        assert (type(value), value) == (
            (type(None), None) if expected is None.__class__ else (type(expected), expected)
        )


@pytest.mark.parametrize("text", ["[1,1e-1]", "[1, 1e-1]", "(1, 1e-1)", "[1.0, 0.1]"])
def test_factors_of_a_schedule(tmp_path, text):
    steps = ["SOLVER.STEPS", "[0, 10]"]
    path = tmp_path / "schedule.yaml"
    path.write_text(f"SOLVER:\n  STEPS: [0, 10]\n  LRS: {text}\n")
    for cfg in (load_cfg(None, [*steps, "SOLVER.LRS", text]), load_cfg(path)):
        assert cfg.SOLVER.LRS == [1, 0.1]
        assert all(isinstance(factor, (int, float)) for factor in cfg.SOLVER.LRS)


def test_a_leading_zero_says_what_is_wrong():
    with pytest.raises(ConfigError, match=r"DATA\.NUM_FRAMES must be a whole number or None, not '010': .*octal"):
        load_cfg(None, ["DATA.NUM_FRAMES", "010"])
    with pytest.raises(ConfigError, match=r"SLURM\.SBATCH must be a list, not .*: 010: .*quotation marks"):
        load_cfg(None, ["SLURM.SBATCH", "[exclusive, 010]"])


def test_what_is_saved_is_read_back(tmp_path):
    """What PyYAML writes, with quotation marks only where YAML 1.1 needs them."""
    odd = ["SLURM.COMMENT", "1e-3", "SLURM.SBATCH", "['010', 'no', '12:30:00', '2026-01-01', 'null', '1']"]
    odd += ["SLURM.EXCLUDE", "on", "SOLVER.WEIGHT_DECAY", "1e-5", "SLURM.TIME", "12:30:00", "RNG_SEED", "1_000"]
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs", *odd]), num_classes=5)
    assert cfg.SLURM.SBATCH == ["010", "no", "12:30:00", "2026-01-01", "null", "1"]
    again = complete(load_cfg(save_cfg(cfg, str(tmp_path))), num_classes=99)
    assert again == cfg
    assert yaml.safe_load(cfg.dump())["SOLVER"]["WEIGHT_DECAY"] == 1e-5
    assert math.isclose(again.SOLVER.WEIGHT_DECAY, 1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "DATA:\n  NUM_FRAMES: 8\nRNG_SEED: 1\nDATA:\n  SAMPLING_RATE: 2\n",
            "DATA is there twice, in line 1 and in line 4",
        ),
        ("RNG_SEED: 1\nRNG_SEED: '1'\n", "RNG_SEED is there twice, in line 1 and in line 2"),
        ("DATA:\n  MEAN: null\n  STD: null\n  MEAN: ~\n", "DATA.MEAN is there twice, in line 2 and in line 4"),
        (
            "STUDENT:\n  SOLVER: {BASE_LR: 1,\n    BASE_LR: 2}\n",
            "STUDENT.SOLVER.BASE_LR is there twice, in line 2 and in",
        ),
        ('DATA: {}\n"DATA": {}\n', "DATA is there twice, in line 1 and in line 2"),
        ("DATA: {MEAN: [{a: 1, a: 2}]}\n", "DATA.MEAN.0.a is there twice, in line 1 and in line 1"),
        # another program's keys that have no meaning here lose one just so
        ("MVIT:\n  DEPTH: 1\nMVIT:\n  DEPTH: 2\n", "MVIT is there twice, in line 1 and in line 3"),
    ],
)
def test_what_is_there_twice_is_an_error_with_both_lines(tmp_path, text, said):
    base = tmp_path / "base.yaml"
    base.write_text(text)
    top = tmp_path / "top.yaml"
    top.write_text("_BASE_: base.yaml\n")
    for path in (base, top):
        with pytest.raises(ConfigError) as caught:
            load_cfg(path)
        assert str(caught.value).startswith(str(base))
        assert said in str(caught.value)


def test_a_value_that_is_repeated_as_it_is_loses_nothing(tmp_path):
    """SlowFast's configs/Kinetics/pytorchvideo/MVIT_B_16x4_CONV.yaml has SOLVER.COSINE_AFTER_WARMUP twice."""
    path = tmp_path / "twice.yaml"
    path.write_text("SOLVER:\n  BASE_LR: 0.5\n  MOMENTUM: 0.1\n  BASE_LR: 0.5\n")
    assert load_cfg(path).SOLVER.BASE_LR == 0.5
    path.write_text("SOLVER:\n  BASE_LR: 0.5\n  BASE_LR: 0.50\n")
    with pytest.raises(ConfigError, match=r"SOLVER\.BASE_LR is there twice"):
        load_cfg(path)


def test_all_repetitions_are_named(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("DATA: {}\nAUG: {}\nDATA: {}\nAUG: {}\n")
    with pytest.raises(ConfigError, match=r"DATA is .*line 1 and in line 3; AUG is .*line 2 and in line 4"):
        load_cfg(path)


def test_anchors_and_merged_groups(tmp_path):
    path = tmp_path / "anchors.yaml"
    path.write_text(
        "SOLVER: &own {BASE_LR: 1e-2, MOMENTUM: 0.5}\nSTUDENT:\n  SOLVER:\n    <<: *own\n    MOMENTUM: 0.25\n"
    )
    cfg = load_cfg(path)
    assert (cfg.STUDENT.SOLVER.BASE_LR, cfg.STUDENT.SOLVER.MOMENTUM, cfg.SOLVER.MOMENTUM) == (0.01, 0.25, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "RNG_SEED: !!int '010'\n",
        "RNG_SEED: !!python/tuple [1]\n",
        "? [a, b]\n: 1\n",
        "&a [*a]\n",
        "RNG_SEED: 1\n--- \nA: 2\n",
    ],
)
def test_what_is_no_configuration(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        load_cfg(path)


@pytest.mark.parametrize("bases", ["", "{a: 1}", "[{a: 1}]", "[[a.yaml]]"])
def test_bases_that_are_no_paths(tmp_path, bases):
    path = tmp_path / "top.yaml"
    path.write_text(f"_BASE_: {bases}\n")
    with pytest.raises(ConfigError, match=r"top\.yaml.*_BASE_ is a path or a list of paths"):
        load_cfg(path)
