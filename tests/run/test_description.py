"""What a run's results say of how it was measured."""

import json

import pytest

from pvbias.config import load_cfg
from pvbias.run import run


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
