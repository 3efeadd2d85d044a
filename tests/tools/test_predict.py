"""`pvbias predict` with a network whose logits are known: how much brighter a clip becomes, and how much darker."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.registries import MODEL
from pvbias.tools.main import main

from ..conftest import write_video

FRAMES = 5


class Brightening(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.proj = nn.Linear(2, num_classes)

    def forward(self, clip):
        change = self.scale * (clip[:, :, -1] - clip[:, :, 0]).mean((1, 2, 3))
        return self.proj(torch.stack([change, -change], 1))


@pytest.fixture
def weights(tmp_path):
    """Of the network, which is registered for the time of a test: logits are 5 times the change in brightness."""
    restore = MODEL.snapshot()
    MODEL.register(
        ZooModel(
            zoo="tests",
            build=lambda num_classes, num_frames, crop_size: Brightening(num_classes),
            clip_spec=ClipSpec(
                num_frames=FRAMES,
                sampling_rate=1,
                crop_size=32,
                test_crop_size=32,
                short_side=32,
                mean=(0,) * 3,
                std=(1,) * 3,
            ),
            head="proj",
        ),
        name="brightening",
    )
    network = Brightening(2)
    nn.init.zeros_(network.proj.bias)
    nn.init.eye_(network.proj.weight)
    torch.save({"model_state": network.state_dict()}, tmp_path / "weights.pyth")
    (tmp_path / "classes.txt").write_text("opening\nclosing\n")
    yield ["--model", "brightening", "--weights", str(tmp_path / "weights.pyth")]
    restore()


def ramp(path):
    """From dark grey to light grey in as many frames as a clip has."""
    levels = np.linspace(40, 200, FRAMES).astype(np.uint8)
    return write_video(path, np.broadcast_to(levels[:, None, None, None], (FRAMES, 32, 32, 3)))


def test_the_classes_of_a_video_with_its_time_changed(tmp_path, weights, capsys):
    options = [*weights, "--class-names", str(tmp_path / "classes.txt"), "--set", "DATA_LOADER.NUM_WORKERS", "0"]
    assert main(["predict", str(ramp(tmp_path / "a.mp4")), "--json", "--top", "1", *options]) == 0
    (video,) = json.loads(capsys.readouterr().out)
    assert video["video"] == str(tmp_path / "a.mp4")
    assert list(video["variants"]) == ["original", "shuffle", "reverse", "freeze_middle"]
    top = {name: variant["top"][0] for name, variant in video["variants"].items()}
    # A change of (200 - 40) / 255, up to the codec's rounding: logits of +-3.137, and p = 1 / (1 + exp(-6.27)).
    p = 1 / (1 + math.exp(-10 * 160 / 255))
    assert top["original"] == {"label": 0, "class": "opening", "probability": pytest.approx(p, abs=2e-3)}
    assert top["reverse"] == {"label": 1, "class": "closing", "probability": pytest.approx(p, abs=2e-3)}
    assert top["freeze_middle"]["probability"] == pytest.approx(0.5)
    still, back = (video["variants"][name]["divergence"] for name in ("freeze_middle", "reverse"))
    assert still == pytest.approx(p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)), abs=0.02)
    assert back == pytest.approx((2 * p - 1) * math.log(p / (1 - p)), abs=0.15)


def test_a_class_without_any_probability_does_not_hide_that_the_prediction_moves(tmp_path, weights, capsys):
    file = tmp_path / "weights.pyth"
    state = torch.load(file)["model_state"]
    state["scale"] *= 40
    torch.save({"model_state": state}, file)
    options = [*weights, "--json", "--set", "DATA_LOADER.NUM_WORKERS", "0"]
    assert main(["predict", str(ramp(tmp_path / "a.mp4")), *options]) == 0
    (video,) = json.loads(capsys.readouterr().out)
    assert video["variants"]["original"]["top"][1]["probability"] == 0  # logits of +-125.5: exp(-251)
    assert video["variants"]["reverse"]["divergence"] == pytest.approx(400 * 160 / 255, rel=0.02)
    assert video["variants"]["original"]["divergence"] == 0


def test_a_bad_video_among_good_ones_is_named(tmp_path, weights, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos = [str(tmp_path / "bad.mp4"), str(ramp(tmp_path / "good.mp4"))]
    options = [*weights, "--out", str(tmp_path / "out"), "--set", "DATA_LOADER.NUM_WORKERS", "0"]
    assert main(["predict", *videos, *options]) == 3
    shown = capsys.readouterr()
    assert "bad.mp4" in shown.err
    assert "bad.mp4" not in shown.out
    assert shown.out.splitlines()[0] == videos[1]
    assert shown.out.splitlines()[1].split("  ")[0] == "as it is"
    assert (tmp_path / "out/report.html").exists()
