"""From a video file to Rev2Net's loss: targets are the true motion, resized, cropped and mirrored with the frames."""

import json
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_train_loader
from pvbias.plugins.optical_flow import extract_flow
from pvbias.run import run

SIDE, FRAMES = 64, 10
#: Pixels to the right and down, from frame to frame of the file.
WAY = (1.5, -1.0)


def write_video(path):
    """Waves that move by WAY; without loss, 30 frames per second."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "rgb24"
        for number in range(FRAMES):
            u, v = x - number * WAY[0], y - number * WAY[1]
            waves = np.sin(0.5 * u + 0.1 * v) + np.sin(0.45 * v - 0.15 * u) + np.sin(0.3 * u + 0.3 * v)
            image = np.repeat((128 + 40 * waves)[..., None], 3, axis=-1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_video(folder / f"v{number}.mp4")
    annotation = folder / "train.csv"
    annotation.write_text("".join(f"v{number}.mp4 {number % 2}\n" for number in range(4)))
    extract_flow(annotation, folder / "flow", workers=0, progress=False)
    return load_cfg(
        overrides=[
            *("MODEL.MODEL_NAME", "r3d_small", "OBJECTIVE.NAME", "Rev2Net", "REV2NET.CHANNELS", "[4, 4]"),
            *("DATA.PATH_TO_DATA_DIR", str(folder), "DATA.FLOW_DIR", str(folder / "flow")),
            *("DATA.NUM_FRAMES", "4", "DATA.SAMPLING_RATE", "1", "DATA.TRAIN_CROP_SIZE", "64"),
            # Twice the size of the file's frames.
            *("DATA.TRAIN_JITTER_SCALES", "[128, 128]"),
            *("TRAIN.BATCH_SIZE", "4", "SOLVER.MAX_EPOCH", "2.0", "LOG_PERIOD", "1", "TENSORBOARD.ENABLE", "False"),
            *("TEST.ENABLE", "False", "BIAS.ENABLE", "False", "DATA_LOADER.NUM_WORKERS", "0"),
            *("OUTPUT_DIR", str(folder / "run")),
        ]
    )


def test_the_targets_are_what_geometry_says(cfg):
    completed = complete(cfg, num_classes=2)
    loader = build_train_loader(completed, build_source(completed, "train"), rank=0, world_size=1, tracks=["flow"])
    mirrored = set()
    for epoch in range(3):
        for batch in loader.epoch(epoch):
            for clip, flow in zip(batch.clips, batch.tracks["flow"].float(), strict=True):
                u, v = flow.flatten(1).median(1).values.tolist()
                assert (abs(u), v) == pytest.approx((3.0, -2.0), abs=0.3)
                mirrored.add(u < 0)
                # The frames go where the targets say: 3 to the right (or left), 2 up.
                step = 3 if u > 0 else -3
                for before, after in pairwise(clip.float().unbind(1)):
                    moved = torch.roll(before, (-2, step), (1, 2))
                    assert (moved - after)[:, 4:-4, 4:-4].abs().mean() < 4
                    assert (torch.roll(before, (-2, -step), (1, 2)) - after)[:, 4:-4, 4:-4].abs().mean() > 10
    assert mirrored == {True, False}


def test_the_loss_is_measured_against_them(cfg):
    run(cfg)
    with open(f"{cfg.OUTPUT_DIR}/train_log.jsonl", encoding="utf-8") as file:
        steps = [json.loads(line) for line in file]
    errors = [step["zero_flow_epe"] for step in steps if "zero_flow_epe" in step]
    assert errors == pytest.approx([13**0.5] * len(errors), rel=0.1)
    assert len(errors) == 2
