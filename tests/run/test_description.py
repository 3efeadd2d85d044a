"""What a run's results say of how it was measured."""

import json
import time
from types import SimpleNamespace

import pytest
import torch

from pvbias.config import load_cfg
from pvbias.data import BadVideo, VideoRecord
from pvbias.run import run
from pvbias.run.description import describe_run
from pvbias.runtime import Settings


@pytest.mark.parametrize(("modality", "number"), [("flow", 1), ("rgb", 0)])
def test_frozen_clips_of_optical_flow_still_show_motion_and_the_page_says_so(tmp_path, modality, number):
    keys = (
        "MODEL.MODEL_NAME r3d_small DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16 DATA.TEST_SHORT_SIDE 16 "
        "TRAIN.ENABLE False TEST.DATASET brush_mnist DECOUPLED.SIZE 32 DECOUPLED.FRAMES 8 DECOUPLED.TEST_VIDEOS 4 "
        "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 BIAS.BOOTSTRAP_SAMPLES 200 "
        "BIAS.EVALUATORS [dynamic_score] MODEL.NUM_CLASSES 100"
    )
    run(load_cfg(None, [*keys.split(), "DATA.MODALITY", modality, "OUTPUT_DIR", str(tmp_path)]))
    found = json.loads((tmp_path / "results.json").read_text())["run"]["cautions"]
    assert len([caution for caution in found if "show optical flow" in caution]) == number
    assert ("A frozen clip repeats the motion of one moment" in (tmp_path / "report.html").read_text()) == bool(number)


def described(precision="fp32"):
    """The description of a run over three of four videos, the third one bad."""
    records = [VideoRecord(path=f"{number}.mp4", name=f"{number}.mp4", label=number or None) for number in range(4)]
    bad = [
        BadVideo(index=index, path="", name=f"{index}.mp4", cause="no video stream", split=split)
        for index, split in ((0, "train"), (2, "test"), (3, "val"))
    ]
    return describe_run(
        load_cfg(None, ["DATA.NUM_FRAMES", "8", "DATA.SAMPLING_RATE", "4", "DATA.TARGET_FPS", "30"]),
        SimpleNamespace(records=records, class_names=(), description="four"),
        {},
        settings=Settings(device=torch.device("cpu"), memory_format="contiguous", precision=precision).describe(),
        measured=3,
        bad=bad,
        model={"model": "r3d_18"},
        started=time.time(),
    )


def test_videos_are_those_of_the_test_list_that_are_not_bad():
    assert described().videos == {"0.mp4": False, "1.mp4": True, "3.mp4": True}


@pytest.mark.parametrize(("precision", "cautions"), [("fp32", 0), ("bf16", 0), ("tf32", 1)])
def test_figures_in_tf32_have_a_caution(precision, cautions):
    found = described(precision)
    assert found.precision == found.settings["precision"] == precision
    assert len([caution for caution in found.cautions if "TF32" in caution]) == cautions
