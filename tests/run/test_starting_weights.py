"""Weights whose own configuration has other clips than are measured."""

import json

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.models import build_recognizer
from pvbias.run import run
from pvbias.run.paths import weights_source

MODEL = "MODEL.MODEL_NAME r3d_small DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16"


@pytest.fixture
def cautions(bar_videos, tmp_path):
    """``cautions(cfg in the file)``: of a run that measures weights with that configuration on the clips of MODEL."""

    def cautions(text):
        torch.manual_seed(0)
        network = build_recognizer(complete(load_cfg(overrides=MODEL.split()), num_classes=2)).module
        torch.save({"model_state": network.state_dict(), "cfg": text}, tmp_path / "weights.pyth")
        keys = (
            f"{MODEL} TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 TEST.ENABLE False "
            f"BIAS.EVALUATORS [asdt] TRAIN.ENABLE False DATA.TEST_SPLIT {bar_videos / 'test.csv'} "
            f"OUTPUT_DIR {tmp_path / 'run'} TEST.CHECKPOINT_FILE_PATH {tmp_path / 'weights.pyth'}"
        )
        run(load_cfg(overrides=keys.split()))
        page = (tmp_path / "run/report.html").read_text()
        found = json.loads((tmp_path / "run/results.json").read_text())["run"]["cautions"]
        assert ("has other clips than are measured" in page) == bool(found)
        return found

    return cautions


def test_other_clips_than_those_of_the_weights_are_a_caution(cautions):
    own = load_cfg(overrides=[*MODEL.split(), "DATA.MEAN", "[0.1, 0.2, 0.3]", "DATA.SAMPLING_RATE", "7"])
    (caution,) = cautions(complete(own, num_classes=2).dump())
    assert "DATA.MEAN [0.1, 0.2, 0.3] (here [0.45, 0.45, 0.45])" in caution
    assert "DATA.SAMPLING_RATE 7 (here " in caution
    assert "NUM_FRAMES" not in caution
    (caution,) = cautions("DATA: {MEAN: !!python/tuple [0.5, 0.5, 0.5], STD: [0.225, 0.225, 0.225]}\n")  # SlowFast's
    assert "DATA.MEAN [0.5, 0.5, 0.5] (here" in caution
    assert "STD" not in caution


def test_the_same_clips_and_files_that_do_not_say_are_none(cautions):
    assert cautions(complete(load_cfg(overrides=MODEL.split()), num_classes=2).dump()) == []
    assert cautions("MODEL: {ARCH: slow}\n") == []
    assert cautions("no: [configuration\n") == []


def test_weights_on_rgb_of_a_model_that_sees_flow_are_a_caution(tmp_path):
    """They were averaged over RGB, and have never seen flow: predictions of them mean nothing."""
    torch.manual_seed(0)
    module = build_recognizer(complete(load_cfg(overrides=["MODEL.MODEL_NAME", "tsn_r18"]), num_classes=10)).module
    torch.save({"model_state": module.state_dict()}, tmp_path / "rgb.pyth")
    keys = (
        "TEST.DATASET brush_mnist DECOUPLED.SIZE 32 DECOUPLED.BRUSH_SIZE 8 DECOUPLED.FRAMES 8 DECOUPLED.TEST_VIDEOS 1 "
        "DECOUPLED.LABEL motion DATA.NUM_FRAMES 2 DATA.TRAIN_CROP_SIZE 32 TRAIN.ENABLE False "
        f"TEST.CHECKPOINT_FILE_PATH {tmp_path / 'rgb.pyth'} "
        f"TEST.ENABLE False BIAS.EVALUATORS [asdt] DATA_LOADER.NUM_WORKERS 0"
    )
    for model, expected in (("tsn_r18_flow", 1), ("tsn_r18", 0)):
        run(load_cfg(overrides=["MODEL.MODEL_NAME", model, "OUTPUT_DIR", str(tmp_path / model), *keys.split()]))
        found = json.loads((tmp_path / model / "results.json").read_text())["run"]["cautions"]
        assert sum("averaged for optical flow (base_model.conv1.weight)" in caution for caution in found) == expected


def test_a_folder_is_measured_with_a_configuration_that_is_not_of_its_training(bar_videos, tmp_path):
    """The page has the new objective in its configuration: it says that the weights are not of it."""
    keys = (
        f"{MODEL} TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 TEST.ENABLE False "
        f"BIAS.EVALUATORS [asdt] DATA.PATH_TO_DATA_DIR {bar_videos} OUTPUT_DIR {tmp_path} TRAIN.BATCH_SIZE 4 "
        "SOLVER.MAX_EPOCH 1.0"
    )

    def said(more):
        run(load_cfg(overrides=[*keys.split(), *more.split()]))
        found = json.loads((tmp_path / "results.json").read_text())["run"]
        return found["training"], found["cautions"]

    assert said("") == ("CrossEntropy", [])
    assert said("TRAIN.ENABLE False") == ("CrossEntropy", [])
    training, (caution,) = said("TRAIN.ENABLE False OBJECTIVE.NAME DRLFreeze")
    assert training == "CrossEntropy"
    assert "OBJECTIVE.NAME: was 'CrossEntropy', is 'DRLFreeze'" in caution
    assert "DATA" not in caution
    measured = load_cfg(overrides=[*keys.split(), "TRAIN.ENABLE", "False", "TRAIN.CHECKPOINT_FILE_PATH", "start.pyth"])
    (trained,) = (tmp_path / "checkpoints").glob("checkpoint_*.pyth")
    assert weights_source(measured) == str(trained)
