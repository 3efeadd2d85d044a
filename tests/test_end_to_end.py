"""The main job on real files: from videos to report, through the command line."""

import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from pytorchvideo.models.hub import x3d_xs

from pvbias.config import load_cfg
from pvbias.models import Weights
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.run import run
from pvbias.tools.main import main

from .storage.server import Store

#: A zoo model at a size that two slow cores do not notice.
SMALL = ["DATA.NUM_FRAMES", "4", "DATA.SAMPLING_RATE", "4", "DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_SHORT_SIDE", "40"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint in the zoo's format, random weights, 2 classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "x3d_xs.pyth"
    torch.save({"model_state": x3d_xs(model_num_class=2).state_dict()}, path)
    return path


def command(weights, data, out, *arguments):
    return [
        "measure",
        "--model",
        "x3d_xs",
        "--weights",
        str(weights),
        "--data",
        str(data),
        "--out",
        str(out),
        *arguments,
    ]


def measure(weights, data, out, *arguments, keys=()):
    keys = [*SMALL, "BIAS.BOOTSTRAP_SAMPLES", "200", *keys]
    code = main([*command(weights, data, out, *arguments), "--set", *keys])
    return code, (json.loads((out / "results.json").read_text()) if code == 0 else None)


def figures(document):
    return {
        (evaluator, figure["name"], figure["level"], figure["variant"]): figure["value"]
        for evaluator, result in document["results"].items()
        for figure in result["figures"]
    }


@pytest.fixture(scope="module")
def measured(weights, bar_videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured")
    code, document = measure(weights, bar_videos / "test.csv", out, "--clips", "2", "--workers", "0")
    assert code == 0
    return out, document


@pytest.mark.smoke
def test_measuring_reports_every_metric(measured):
    out, document = measured
    assert document["run"]["num_videos"] == 8
    assert set(document["results"]) >= {"accuracy", "dynamic_score", "modulated_accuracy", "asdt", "self_convolution"}
    found = figures(document)
    assert found["dynamic_score", "dynamic_score", "video", "shuffle"] > 0
    assert found["modulated_accuracy", "top1", "clip", "reverse"] is not None
    assert "<html" in (out / "report.html").read_text()
    assert not (out / "bad_videos.jsonl").exists()


@pytest.mark.parametrize("workers", ["1", "4"])
def test_figures_do_not_depend_on_the_number_of_workers(measured, weights, bar_videos, tmp_path, workers):
    code, document = measure(weights, bar_videos / "test.csv", tmp_path, "--clips", "2", "--workers", workers)
    assert code == 0
    assert document["results"] == measured[1]["results"]


@pytest.mark.smoke
def test_figures_do_not_depend_on_the_number_of_processes(measured, weights, bar_videos, tmp_path):
    keys = [*SMALL, "BIAS.BOOTSTRAP_SAMPLES", "200", "NUM_GPUS", "2"]
    arguments = command(weights, bar_videos / "test.csv", tmp_path, "--clips", "2", "--workers", "0")
    assert main([*arguments, "--set", *keys]) == 0
    expected, found = figures(measured[1]), figures(json.loads((tmp_path / "results.json").read_text()))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_figures_do_not_depend_on_where_the_videos_are(measured, weights, bar_videos, tmp_path):
    """A list on a web server, and videos in tar shards there."""
    pytest.importorskip("aiohttp")
    shutil.copy(bar_videos / "test.csv", tmp_path)
    for number, names in enumerate(("test/right", "test/left")):
        with tarfile.open(tmp_path / f"s-{number}.tar", "w") as tar:
            tar.add(bar_videos / names, names)
    store = Store(tmp_path)
    place = ["--path-prefix", f"{store.address}/s-{{0..1}}.tar", "--clips", "2", "--workers", "1"]
    keys = ["DATA.CACHE_DIR", str(tmp_path / "cache")]
    code, document = measure(weights, f"{store.address}/test.csv", tmp_path / "out", *place, keys=keys)
    store.shutdown()
    assert code == 0
    assert document["results"] == measured[1]["results"]
    assert document["run"]["data_fingerprint"] == measured[1]["run"]["data_fingerprint"]
    assert len(list((tmp_path / "cache").glob("*/*.mp4"))) == 8


def test_a_run_fused_with_itself_is_the_run(measured, tmp_path):
    """Every figure of predictions at video level, of every variant."""
    out, document = measured
    shutil.copytree(out, tmp_path / "again")
    assert main(["fuse", str(out), str(tmp_path / "again"), "--out", str(tmp_path / "fused")]) == 0
    fused = json.loads((tmp_path / "fused" / "results.json").read_text())
    found = figures(fused)
    for evaluator in ("accuracy", "modulated_accuracy", "dynamic_score"):
        expected = {key: value for key, value in figures(document).items() if key[0] == evaluator and key[2] == "video"}
        assert expected
        assert {key: value for key, value in found.items() if key[0] == evaluator} == pytest.approx(expected, abs=1e-5)


def test_the_saved_configuration_rebuilds_the_run(measured, tmp_path):
    out, document = measured
    assert main(["run", "--cfg", str(out / "config.yaml"), "OUTPUT_DIR", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["results"] == document["results"]


def test_a_modulation_of_all_clips_is_what_is_measured_and_recorded(measured, weights, bar_videos, tmp_path):
    """Reversed by the loader, the original clips are what the variant "reverse" was, and the other way round."""
    arguments = ["--clips", "2", "--workers", "0"]
    code, document = measure(
        weights, bar_videos / "test.csv", tmp_path, *arguments, keys=["DATA.MODULATION", "reverse"]
    )
    assert code == 0
    assert document["run"]["sampling"] == measured[1]["run"]["sampling"] + ", each clip as reverse"
    plain, found = figures(measured[1]), figures(document)
    for level in ("clip", "video"):
        for one, other in (("original", "reverse"), ("reverse", "original")):
            key = ("modulated_accuracy", "top1", level)
            assert found[(*key, one)] == plain[(*key, other)]


def test_a_folder_of_videos_without_labels(weights, bar_videos, tmp_path):
    code, document = measure(weights, bar_videos / "test" / "left", tmp_path, "--workers", "0")
    assert code == 0
    assert "label" in document["results"]["accuracy"]["not_applicable"]
    assert figures(document)["dynamic_score", "dynamic_score", "video", "shuffle"] > 0


def test_bad_files_are_listed_and_do_not_end_the_run(weights, bar_videos, tmp_path):
    good = (bar_videos / "test.csv").read_text()
    (tmp_path / "noise.mp4").write_bytes(b"this is not a video" * 100)
    listing = tmp_path / "mixed.csv"
    listing.write_text(good + f"{tmp_path / 'noise.mp4'} 0\ngone.mp4 1\n{bar_videos / 'test/left/0.mp4'} 7\n")
    arguments = ["--path-prefix", str(bar_videos), "--workers", "0"]
    code, document = measure(weights, listing, tmp_path / "out", *arguments)
    assert code == 3  # 3 of 11 is more than the default limit
    out = tmp_path / "with_limit"
    code, document = measure(weights, listing, out, *arguments, keys=["DATA.MAX_BAD_FRACTION", "0.5"])
    assert code == 0
    assert document["run"]["num_videos"] == 8
    causes = {bad["name"].rsplit("/", 1)[-1]: bad["cause"] for bad in document["run"]["bad_videos"]}
    assert causes == {"noise.mp4": "unreadable", "gone.mp4": "missing", "0.mp4": "label out of range"}
    assert len((out / "bad_videos.jsonl").read_text().splitlines()) == 3
    assert measure(weights, bar_videos / "test.csv", out, "--workers", "0")[0] == 0
    assert not (out / "bad_videos.jsonl").exists()  # mended since


def test_fine_tuning_gives_a_checkpoint_that_the_zoo_model_loads(weights, bar_videos, tmp_path):
    config = tmp_path / "tune.yaml"
    config.write_text(
        f"""
MODEL: {{MODEL_NAME: x3d_xs}}
DATA: {{PATH_TO_DATA_DIR: {bar_videos}, NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 32, TEST_SHORT_SIDE: 40}}
TRAIN: {{BATCH_SIZE: 4, CHECKPOINT_FILE_PATH: {weights}}}
TEST: {{NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}}
SOLVER: {{BASE_LR: 0.01, MAX_EPOCH: 2.0}}
DATA_LOADER: {{NUM_WORKERS: 0}}
BIAS: {{BOOTSTRAP_SAMPLES: 200}}
OUTPUT_DIR: {tmp_path / "run"}
"""
    )
    assert main(["run", "--cfg", str(config)]) == 0
    newest = sorted((tmp_path / "run" / "checkpoints").glob("*.pyth"))[-1]
    checkpoint = torch.load(newest, weights_only=True)
    assert {"model_state", "optimizer_state", "epoch", "cfg"} <= checkpoint.keys()
    bare = x3d_xs(model_num_class=2)
    bare.load_state_dict(checkpoint["model_state"], strict=True)
    started = torch.load(weights, weights_only=True)["model_state"]
    assert any(not torch.equal(value, started[name]) for name, value in bare.state_dict().items())
    assert (tmp_path / "run" / "report.html").exists()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["run"]["training"] == "CrossEntropy"


def test_a_checkpoint_keeps_the_names_of_its_classes(bar_videos, tmp_path, monkeypatch):
    """Trained with another order than the sorted one, and measured on a folder that has one of the classes, in a
    working directory with a list that has nothing to do with it."""
    (tmp_path / "names.txt").write_text("right\nmiddle\nleft\n")
    keys = f"""MODEL.MODEL_NAME x3d_xs DATA.TRAIN_SPLIT {bar_videos}/train DATA.CLASS_NAMES_FILE {tmp_path}/names.txt
        TRAIN.BATCH_SIZE 4 SOLVER.MAX_EPOCH 1.0 DATA_LOADER.NUM_WORKERS 0 TEST.ENABLE False BIAS.ENABLE False""".split()
    (tmp_path / "empty.yaml").write_text("{}")
    command = ["run", "--cfg", str(tmp_path / "empty.yaml"), *SMALL, *keys, "OUTPUT_DIR", str(tmp_path / "run")]
    assert main(command) == 0
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.pyth")
    assert torch.load(checkpoint, weights_only=True)["class_names"] == ["right", "middle", "left"]

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Left").symlink_to(bar_videos / "test" / "left")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("a.mp4 aardvark\nb.mp4 left\nc.mp4 zebra\n")
    arguments = ["--workers", "0", "--metrics", "sample_clips"]
    assert measure(checkpoint, tmp_path / "data", tmp_path / "measured", *arguments)[0] == 0
    predictions = np.load(tmp_path / "measured" / "predictions.npz")
    assert predictions["labels"].tolist() == [2] * 4
    assert predictions["class_names"].tolist() == ["right", "middle", "left"]


@pytest.fixture
def lab_zoo(weights, monkeypatch):
    """A zoo of one checkpoint, whose first output is the class "Right"."""
    load_plugins()
    published = Weights(url=str(weights), num_classes=2, class_names=("Right", "Left"))
    entry = replace(MODEL.get("x3d_xs"), zoo="lab", weights={"bars": published})
    monkeypatch.setattr(MODEL, "_obj_map", {**MODEL._obj_map, "lab_x3d": entry})
    return "zoo://lab/lab_x3d/bars"


def test_training_goes_on_with_the_order_of_classes_of_its_checkpoint(lab_zoo, bar_videos, tmp_path):
    """The head is loaded, too: sorted names would swap its classes."""
    (tmp_path / "empty.yaml").write_text("{}")
    keys = f"""MODEL.MODEL_NAME lab_x3d DATA.TRAIN_SPLIT {bar_videos}/train DATA.TEST_SPLIT {bar_videos}/test
        TRAIN.CHECKPOINT_FILE_PATH {lab_zoo} TRAIN.BATCH_SIZE 4 SOLVER.MAX_EPOCH 1.0 DATA_LOADER.NUM_WORKERS 0
        TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 BIAS.ENABLE False""".split()
    command = ["run", "--cfg", str(tmp_path / "empty.yaml"), *SMALL, *keys, "OUTPUT_DIR", str(tmp_path / "run")]
    assert main(command) == 0
    predictions = np.load(tmp_path / "run" / "predictions.npz")
    assert predictions["class_names"].tolist() == ["Right", "Left"]
    assert predictions["labels"].tolist() == [1] * 4 + [0] * 4, "left before right, as the folders are sorted"


def test_a_folder_is_measured_by_the_names_of_the_checkpoints_classes(lab_zoo, bar_videos, tmp_path, capsys):
    arguments = ["--workers", "0", "--metrics", "sample_clips"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "left").symlink_to(bar_videos / "test" / "left")
    assert measure(lab_zoo, tmp_path / "data", tmp_path / "out", *arguments)[0] == 0
    assert np.load(tmp_path / "out" / "predictions.npz")["labels"].tolist() == [1] * 4
    (tmp_path / "data" / "up").symlink_to(bar_videos / "test" / "right")
    assert measure(lab_zoo, tmp_path / "data", tmp_path / "out", *arguments)[0] == 3
    assert f"there is no class 'up' among the 2 of {lab_zoo}" in capsys.readouterr().err


@pytest.mark.smoke
def test_weights_from_python_are_those_of_the_seed(bar_videos, tmp_path):
    """Whatever was drawn before."""
    found = []
    for number in (1, 2):
        torch.manual_seed(number)
        keys = ["MODEL.MODEL_NAME", "x3d_xs", "DATA.TEST_SPLIT", str(bar_videos), "TRAIN.ENABLE", "False"]
        keys += ["TEST.ENABLE", "False", "BIAS.EVALUATORS", "[asdt]", "OUTPUT_DIR", str(tmp_path / str(number))]
        run(load_cfg(overrides=[*SMALL, *keys]))
        found.append(figures(json.loads((tmp_path / str(number) / "results.json").read_text())))
    assert found[0] == found[1]


def test_comparing_two_runs(measured, weights, bar_videos, tmp_path):
    code, _ = measure(weights, bar_videos / "test", tmp_path / "other", "--workers", "0")
    assert code == 0
    out = tmp_path / "comparison"
    assert main(["compare", str(measured[0]), str(tmp_path / "other"), "--out", str(out)]) == 0
    assert "<html" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["measure", "--model", "x3d_sx", "--weights", "w", "--data", "d", "--out", "o"], 2, "Did you mean 'x3d_"),
        (["measure", "--model", "x3d_xs", "--weights", "gone.pyth", "--data", ".", "--out", "o"], 4, "gone.pyth"),
        (["run", "--cfg", "gone.yaml"], 2, "gone.yaml"),
        (["compare", "nowhere", "neither", "--out", "o"], 3, "nowhere"),
        (["compare", "a", "b", "--out", "s3://bucket/o"], 2, "s3://bucket/o: files are written to a disk"),
        (["fuse", "a", "b", "--out", "s3://bucket/o"], 2, "s3://bucket/o: files are written to a disk"),
        (["mesure"], 2, "'measure'"),
    ],
)
def test_mistakes_are_one_message_and_an_exit_code(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    assert message in capsys.readouterr().err


def test_listing_and_describing(capsys):
    assert main(["list", "models"]) == 0
    assert "zoo://pytorchvideo/x3d_s/kinetics400" in capsys.readouterr().out
    assert main(["list", "evaluators"]) == 0
    assert "dynamic_score" in capsys.readouterr().out
    assert main(["list", "keys"]) == 0
    assert "NUM_ENSEMBLE_VIEWS" in capsys.readouterr().out
    assert main(["env"]) == 0
    assert "torch" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "exit codes" in capsys.readouterr().out
