"""Validations during a training."""

import json

from pvbias.config import load_cfg
from pvbias.run import run


def test_validations_are_on_the_validation_videos(bar_videos, tmp_path):
    """One of them is broken, which nothing but decoding finds."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    lines = [f"{bar_videos}/{line}" for line in (bar_videos / "test.csv").read_text().splitlines()]
    (tmp_path / "val.csv").write_text("\n".join([*lines, f"{tmp_path}/broken.mp4 0"]))
    keys = (
        "MODEL.MODEL_NAME r3d_small DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16 DATA_LOADER.NUM_WORKERS 0 "
        "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 TEST.ENABLE False BIAS.ENABLE False TRAIN.BATCH_SIZE 4 "
        f"SOLVER.MAX_EPOCH 1.0 TRAIN.EVAL_PERIOD 1 DATA.TRAIN_SPLIT {bar_videos}/train.csv "
        f"DATA.VAL_SPLIT {tmp_path}/val.csv DATA.MAX_BAD_FRACTION 0.2 OUTPUT_DIR {tmp_path}/run"
    )
    run(load_cfg(overrides=keys.split()))
    (bad,) = map(json.loads, (tmp_path / "run/bad_videos.jsonl").read_text().splitlines())
    assert (bad["split"], bad["name"]) == ("val", f"{tmp_path}/broken.mp4")
    logged = map(json.loads, (tmp_path / "run/train_log.jsonl").read_text().splitlines())
    (validation,) = [line for line in logged if line["kind"] == "validation"]
    assert validation["top1"] in [100 * right / len(lines) for right in range(len(lines) + 1)]
