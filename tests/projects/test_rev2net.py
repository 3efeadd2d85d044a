"""Rev2Net's configurations are valid and the paper's, the cross-dataset annotations are the official splits of shared
classes, and the study's page says what its runs' results say."""

import csv
import json
import os
from pathlib import Path

import pytest
import yaml

from pvbias.config import complete, load_cfg
from pvbias.data.annotations import read_annotation
from pvbias.engine.checkpoint import checkpoint_path
from pvbias.errors import DataError
from pvbias.evaluation import Figure, Result
from pvbias.registries import MODEL

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "rev2net"
DATA = os.environ.get("PVBIAS_REAL_DATA")


# -------------------- configurations --------------------

SCHEDULES = {"ucf101": 101, "hmdb51": 51, "kinetics": 400, "cross_dataset/finetune": 16}
MODELS = sorted(path.stem for path in (PROJECT / "models").iterdir())
METHODS = sorted(path.stem for path in (PROJECT / "methods").iterdir())


def joined(folder, *parts):
    """The configuration that joins some of the project's files, complete."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"_BASE_": [str(PROJECT / f"{part}.yaml") for part in parts]}))
    return complete(load_cfg(path), num_classes=2)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_any_model_joins_any_schedule(schedule, tmp_path):
    for model in MODELS:
        cfg = joined(tmp_path, schedule, f"models/{model}")
        assert SCHEDULES[schedule] == cfg.MODEL.NUM_CLASSES
        assert cfg.DATA.TRAIN_CROP_SIZE == 224
        frames = (32, 1) if "i3d" in model else (8, 8)
        assert frames == (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE)
        assert ("flow" if "flow" in model else "rgb") == cfg.DATA.MODALITY
        zoo, source, weights = cfg.TRAIN.CHECKPOINT_FILE_PATH.removeprefix("zoo://").split("/")
        assert (zoo, weights in MODEL.get(source).weights) == ("classic_models", True)


@pytest.mark.parametrize("method", METHODS)
def test_methods_have_the_weights_of_section_4_2(method, tmp_path):
    cfg = joined(tmp_path, "ucf101", "models/i3d_imagenet", f"methods/{method}")
    classifiers = {
        "cross_entropy": "CrossEntropy",
        "dann": "CrossEntropy + DANN",
        "cdan": "CrossEntropy + CDAN",
        "rev2net_dann": "Rev2Net + DANN",
    }
    assert classifiers.get(method, "Rev2Net") == cfg.OBJECTIVE.NAME
    assert ("target.csv" if "dan" in method else "") == cfg.DATA.STREAMS.target.SPLIT
    if not cfg.OBJECTIVE.NAME.startswith("Rev2Net"):
        return
    keys = cfg.REV2NET
    assert (keys.ALPHA, keys.BETA) == (0.01, 0.1)
    assert (keys.LAMBDA_FLOW, keys.LAMBDA_FRAMES) == (0.1, 0.1)
    parts = ("FRAME_DECODER", "FLOW_DECODER", "HIGH_LEVEL", "LOW_LEVEL")
    off = {
        "rev2net": set(),
        "rev2net_dann": set(),
        "without_frame_decoder": {"FRAME_DECODER"},
        "without_flow_decoder": {"FLOW_DECODER"},
        "without_penalty": {"HIGH_LEVEL", "LOW_LEVEL"},
        "low_level": {"HIGH_LEVEL"},
        "high_level": {"LOW_LEVEL"},
    }
    assert {part for part in parts if not keys[part]} == off[method]


# -------------------- cross-dataset --------------------


@pytest.fixture(scope="module")
def splits():
    return script(PROJECT / "cross_dataset" / "make_splits.py")


def rows():
    with (PROJECT / "cross_dataset" / "classes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def made_up(folder):
    """Split files of the official form: of each class one video for training and one for testing."""
    ucf101, hmdb51 = folder / "ucf", folder / "hmdb"
    for path in (ucf101, hmdb51):
        path.mkdir()
    own = [row["ucf101"] for row in rows()] + ["YoYo"]
    train = [f"{name}/v_{name}_g08_c01.avi {number}\n" for number, name in enumerate(own, 1)]
    (ucf101 / "trainlist02.txt").write_text("".join(train))
    (ucf101 / "testlist02.txt").write_text("".join(f"{name}/v_{name}_g01_c01.avi\r\n" for name in own))
    for row in rows():
        name = row["hmdb51"]
        lines = f"#1_{name}.avi 1 \n(HQ)_&_{name}.avi 2 \nunused_{name}.avi 0 \n"
        (hmdb51 / f"{name}_test_split2.txt").write_text(lines)
    return ["--ucf101-splits", str(ucf101), "--hmdb51-splits", str(hmdb51)]


def made(splits, folder, official, *arguments):
    videos = ["--ucf101", str(folder / "videos" / "u"), "--hmdb51", str(folder / "videos" / "h")]
    assert splits.main([*official, *videos, "--out", str(folder / "out"), *arguments]) == 0
    return folder / "out"


def read(folder):
    """{part: (class name by video)} of a direction, labels numbered as a run numbers them."""
    train = read_annotation(folder / "train.csv")
    parts = {}
    for part in ("train", "val", "test"):
        found = read_annotation(folder / f"{part}.csv", training_names=lambda: train.class_names)
        assert found.class_names == train.class_names
        parts[part] = {record.name: found.class_names[record.label] for record in found.records}
    return parts


def test_training_videos_are_the_source_s_and_test_videos_the_target_s(splits, tmp_path):
    out = made(splits, tmp_path, made_up(tmp_path), "--split", "2")
    videos = tmp_path / "videos"
    there, back = read(out / "hmdb51_to_ucf101"), read(out / "ucf101_to_hmdb51")
    assert len(there["train"]) == len(there["val"]) == len(there["test"]) == 16  # no YoYo, nothing unused
    assert there["train"][f"{videos}/h/shoot_bow/#1_shoot_bow.avi"] == "shoot bow"
    assert there["val"][f"{videos}/h/shoot_bow/(HQ)_&_shoot_bow.avi"] == "shoot bow"
    assert there["test"][f"{videos}/u/Archery/v_Archery_g01_c01.avi"] == "shoot bow"
    assert back["train"][f"{videos}/u/Archery/v_Archery_g08_c01.avi"] == "shoot bow"
    assert back["val"] == there["test"]
    assert back["test"] == there["val"]
    target = read_annotation(out / "hmdb51_to_ucf101" / "target.csv")
    assert {record.name for record in target.records} == back["train"].keys()
    everything = {record.name for record in read_annotation(out / "all.csv").records}
    assert everything == {name for parts in (there, back) for part in parts.values() for name in part}


def test_wrong_folders_and_files_are_said(splits, tmp_path):
    official = made_up(tmp_path)
    with pytest.raises(DataError, match=r"trainlist01\.txt cannot be read"):
        made(splits, tmp_path, official)
    (tmp_path / "hmdb" / "climb_test_split2.txt").write_text("a.avi 3\n")
    with pytest.raises(DataError, match=r"'a\.avi 3' does not end in 0, 1 or 2"):
        made(splits, tmp_path, official, "--split", "2")


@pytest.mark.skipif(not DATA, reason="PVBIAS_REAL_DATA does not name a folder with the official splits")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_official_splits_have_all_shared_classes(splits, tmp_path, number):
    folder = Path(DATA) / "annotations"
    official = ["--ucf101-splits", str(folder / "ucf101_splits"), "--hmdb51-splits", str(folder / "hmdb51_splits")]
    out = made(splits, tmp_path, official, "--split", str(number))
    there, back = read(out / "hmdb51_to_ucf101"), read(out / "ucf101_to_hmdb51")
    for parts in (there, back):
        for part in parts.values():
            assert set(part.values()) == {row["class"] for row in rows()}
    assert (len(there["train"]), len(back["test"])) == (16 * 70, 16 * 30)  # HMDB51: 70 and 30 of each class
    assert not set(back["train"]) & set(there["test"])


# -------------------- study --------------------


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study" / "study.py")


def finished(folder, accuracy=50.0, flow=None):
    """A run that is done: accuracy (percent), end-point errors (px) in its log, weights."""
    top1 = Figure(name="top1", value=accuracy, unit="%", level="clip")
    write_run(folder, {"accuracy": Result(figures=[top1])})
    lines = [{"kind": "start"}]
    for error in flow or ():
        lines.append({"kind": "train", "flow_epe": error, "zero_flow_epe": 2.0})
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_one_stage_after_the_other(study, tmp_path, capsys):
    assert planned(study, tmp_path, capsys, "--seeds", "0", "1").keys() == {"brush_seed0", "brush_seed1"}
    finished(tmp_path / "brush_seed0")
    runs = planned(study, tmp_path, capsys, "--seeds", "0")
    assert len(runs) == 7
    start = str(checkpoint_path(str(tmp_path / "brush_seed0"), 2))
    assert {(cfg.MODEL.NUM_CLASSES, cfg.TRAIN.CHECKPOINT_FILE_PATH) for cfg in runs.values()} == {(10, start)}
    assert {(cfg.DECOUPLED.RHO, cfg.DECOUPLED.CONTEXT, cfg.DATA.FLOW_DIR) for cfg in runs.values()} == {(1.0, "in", "")}
    full, low = runs["rev2net_seed0"], runs["low-level_penalty_only_seed0"]
    assert (full.OBJECTIVE.NAME, full.REV2NET.HIGH_LEVEL, full.REV2NET.LOW_LEVEL) == ("Rev2Net", True, True)
    assert (low.REV2NET.HIGH_LEVEL, low.REV2NET.LOW_LEVEL) == (False, True)
    assert not runs["without_flow_decoder_seed0"].REV2NET.FLOW_DECODER
    finished(tmp_path / "rev2net_seed0")
    target = planned(study, tmp_path, capsys, "--seeds", "0")["rev2net_target_seed0"]
    assert (target.TRAIN.ENABLE, target.DECOUPLED.CONTEXT) == (False, "out")
    assert str(checkpoint_path(str(tmp_path / "rev2net_seed0"), 2)) == target.TRAIN.CHECKPOINT_FILE_PATH


def test_controls_differ_from_their_methods_by_one_thing(study, tmp_path, capsys):
    finished(tmp_path / "brush_seed0")
    runs = planned(study, tmp_path, capsys, "--seeds", "0", "--controls", "--quick")
    named = {name.removesuffix("_seed0"): cfg.REV2NET for name, cfg in runs.items()}
    assert len(named) == 3 + 2 + len(study.CONTROLS)
    differs = {
        "zero_flow": {"FLOW_TARGET": "zero"},
        "another_clips_flow": {"FLOW_TARGET": "shuffled"},
        "delayed_flow": {"FLOW_TARGET": "delayed"},
        "flow_decoder_cut_off": {"DETACHED": True},
        "decoders_cut_off": {"DETACHED": True},
        "beta_0.01": {"BETA": 0.01},
        "beta_0.001": {"BETA": 0.001},
        "frames_without_flip": {"FLIP": False},
    }
    for (control, (method, _)), (name, changed) in zip(study.CONTROLS.items(), differs.items(), strict=True):
        own, base = named[name], named[method.lower().replace(" ", "_")]
        assert {key: value for key, value in own.items() if value != base[key]} == changed, control


def test_what_a_method_gains_over_its_controls(study):
    def measured(*target):
        return {"source": [90.0] * 3, "target": list(target)}

    figures = {
        study.BASELINE: measured(60.0, 60.0, 60.0),
        "without frame decoder": measured(70.0, 74.0, 72.0),
        "zero flow": measured(62.0, 62.0, 62.0),
        "delayed flow": measured(70.0, 70.0, 76.0),
    }
    assert study.answers(figures) == [
        "without frame decoder over zero flow: +10.0 ± 5.0 points on the target: more than chance.",
        "without frame decoder over delayed flow: +0.0 ± 9.9 points on the target: not told from chance.",
    ]


def test_the_page_says_what_was_measured(study, tmp_path, capsys):
    for seed, (plain, full) in enumerate(((60.0, 70.0), (62.0, 74.0), (64.0, 72.0))):
        finished(tmp_path / f"brush_seed{seed}")
        finished(tmp_path / f"cross-entropy_seed{seed}", 90.0)
        finished(tmp_path / f"cross-entropy_target_seed{seed}", plain)
        finished(tmp_path / f"rev2net_seed{seed}", 91.0, flow=[9.0, 9.0, 0.75, 0.25])
        finished(tmp_path / f"rev2net_target_seed{seed}", full)
        finished(tmp_path / f"without_penalty_seed{seed}", 90.0, flow=[1.0])
        finished(tmp_path / f"without_penalty_target_seed{seed}", plain)
    measured = study.measure(study.Study(out=tmp_path), (0, 1, 2), study.QUICK, quick=False)
    rows = {row[0]: row[1:] for row in study.table(measured)}
    assert {len(row) for row in rows.values()} == {8}
    # Differences of 10, 12 and 8 points: mean 10, standard error 2 / sqrt(3), t of 2 degrees of freedom 4.303.
    assert rows["Rev2Net"][:4] == ["91.0 ± 0.0", "72.0 ± 5.0", "+1.0 ± 0.0", "+10.0 ± 5.0"]
    assert rows["Rev2Net"][4:] == ["0.50 ± 0.00", "2.00 ± 0.00", "94.6", "71.1"]
    assert rows["Cross-entropy"][1:6] == ["62.0 ± 5.0", "", "", "", ""]
    assert study.verdicts(measured) == [
        "Rev2Net: +10.0 points on the target: it helps.",
        "without penalty: +0.0 points on the target: no difference that these seeds can tell from none.",
    ]
    assert study.orders(measured)["paper, UCF101"] == "Rev2Net, without penalty, Cross-entropy"
    page = study.write_page(tmp_path, measured, (0, 1, 2)).read_text(encoding="utf-8")
    assert "+10.0 ± 5.0" in page
    capsys.readouterr()
    study.main(["--out", str(tmp_path), "--quick", "--seeds", "0"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "one seed does not tell" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_row_without_the_paper_s_figures_is_as_long(study):
    figures = {"source": [1.0], "target": [1.0]}
    table = study.table({study.BASELINE: figures, "low-level penalty only": figures})
    assert [len(row) for row in table] == [9, 9]
