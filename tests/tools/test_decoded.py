"""`pvbias decoded` on decoders whose output is known."""

import re

import numpy as np
import pytest
import torch

from pvbias.config import complete, load_cfg, save_cfg
from pvbias.engine import CrossEntropy, Objective
from pvbias.engine.checkpoint import KEYS, checkpoint_path
from pvbias.models import build_recognizer
from pvbias.needs import Needs
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.rev2net import Rev2Net
from pvbias.registries import OBJECTIVE
from pvbias.tools.main import main

from ..plugins.rev2net.test_page import pictures

load_plugins()

SIZES = {"NUM_FRAMES": 4, "TRAIN_CROP_SIZE": 16, "TEST_CROP_SIZE": 24}
SMALL = [
    "MODEL.MODEL_NAME",
    "r3d_small",
    *(str(part) for key, value in SIZES.items() for part in (f"DATA.{key}", value)),
]
BRUSH = ["TEST.DATASET", "brush_mnist", "DECOUPLED.SIZE", "16", "DECOUPLED.FRAMES", "8", "DECOUPLED.TEST_VIDEOS", "6"]


class Scaled(Rev2Net):
    """Decodes no motion, and the reversed clip, darkened by what it has learnt."""

    needs = Needs(tracks=("flow",))

    def __init__(self, cfg, recognizer):
        Objective.__init__(self, cfg, recognizer)
        self.brightness = torch.nn.Parameter(torch.tensor(0.0))

    def phases(self):
        return []

    def decode(self, clips):
        assert not self.training
        return torch.zeros_like(clips[:, :2]), clips.flip(2) * self.brightness


@pytest.fixture(autouse=True)
def scaled(monkeypatch):
    monkeypatch.setattr(OBJECTIVE, "_obj_map", {"Scaled": Scaled, "CrossEntropy": CrossEntropy})


def trained(folder, *keys, objective="Scaled", brightness=1.0):
    """The folder of a run that has trained."""
    overrides = [*SMALL, "OBJECTIVE.NAME", objective, "OUTPUT_DIR", str(folder), *map(str, keys)]
    cfg = complete(load_cfg(overrides=overrides), num_classes=100)
    save_cfg(cfg, str(folder))
    state = dict.fromkeys(KEYS, 0) | {"model_state": build_recognizer(cfg).module.state_dict()}
    state["objective_state"] = {"brightness": torch.tensor(brightness)}
    path = checkpoint_path(str(folder), 1)
    path.parent.mkdir()
    torch.save(state, path)
    return folder


def brush(folder, **options):
    return trained(folder, *BRUSH, **options)


def decoded(run, out, *arguments):
    code = main(["decoded", str(run), "--out", str(out), *arguments])
    return code, (out / "decoded.html").read_text(encoding="utf-8") if code == 0 else ""


def test_rows_of_each_clip_and_errors_beside_those_of_doing_nothing(tmp_path):
    code, page = decoded(brush(tmp_path / "run"), tmp_path / "out", "--clips", "2")
    assert code == 0
    shown = pictures(page)
    names = ["Clip", "True flow", "Decoded flow", "Clip, reversed", "Decoded frames"]
    assert [name for name, _ in shown] == names * 2
    strips = dict(shown[:5])
    assert strips["Clip"].shape == (16, 4 * 16 + 3 * 2, 3)  # the training's size, not the tests'
    assert (strips["Decoded flow"] == 255).all()  # no motion is white
    assert (strips["True flow"] != 255).any()
    assert np.array_equal(strips["Clip, reversed"][:, :16], strips["Clip"][:, -16:])
    assert np.array_equal(strips["Decoded frames"], strips["Clip, reversed"])
    flow_errors = re.findall(r"([\d.]+) px \(of predicting no motion: ([\d.]+) px\)", page)
    assert [error for error, _ in flow_errors] == [zero for _, zero in flow_errors]
    assert float(flow_errors[0][0]) > 0
    (mean, _), *each = flow_errors
    assert "Mean of 2 clips" in page
    assert float(mean) == pytest.approx(np.mean([float(error) for error, _ in each]), abs=0.011)
    assert len(re.findall(r"<td>0\.00 grey levels of 255", page)) == 1 + 2
    assert "There is no true optical flow" not in page


def test_the_checkpoint_s_decoders_are_shown(tmp_path):
    code, page = decoded(brush(tmp_path / "run", brightness=0.0), tmp_path / "out", "--clips", "1")
    assert code == 0
    strips = dict(pictures(page))
    assert not strips["Decoded frames"][:, :16].any()
    assert strips["Clip, reversed"].any()


def test_videos_without_flow_have_no_such_row_and_the_page_says_why(tmp_path, bar_videos):
    run = trained(tmp_path / "run", "DATA.PATH_TO_DATA_DIR", bar_videos)
    code, page = decoded(run, tmp_path / "out", "--clips", "3")
    assert code == 0
    assert {name for name, _ in pictures(page)} == {"Clip", "Decoded flow", "Clip, reversed", "Decoded frames"}
    assert len(pictures(page)) == 3 * 4
    assert "There is no true optical flow here: DATA.FLOW_DIR is empty" in page
    assert "no motion:" not in page


def test_what_cannot_be_shown_is_said(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["decoded", str(brush(tmp_path / "plain", objective="CrossEntropy")), "--out", str(out)]) == 2
    assert "'CrossEntropy' has no decoders" in capsys.readouterr().err
    run = brush(tmp_path / "run")
    checkpoint_path(str(run), 1).unlink()
    assert main(["decoded", str(run), "--out", str(out)]) == 4
    assert "has no training checkpoint" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["decoded", str(run), "--out", str(out), "--clips", "0"])
    assert "one or more" in capsys.readouterr().err
    assert not out.exists()
