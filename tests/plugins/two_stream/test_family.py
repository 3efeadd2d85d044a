"""Two-stream networks by keys of the configuration, and objectives that train them."""

import pytest
import torch

from pvbias.config import load_cfg
from pvbias.errors import ConfigError
from pvbias.tools.main import main

from .networks import DATA, two_stream


def test_models_that_cannot_be_streams():
    for rgb, flow, flow_frames, message in (
        ("x3d_xxs", "x3d_xs", 1, "TWO_STREAM.RGB = 'x3d_xxs' is no model.*x3d_xs"),
        ("inception_i3d_flow", "x3d_xs", 1, "is a model on optical flow: name it in TWO_STREAM.FLOW"),
        ("inception_i3d", "inception_i3d_flow", 5, "TWO_STREAM.FLOW_FRAMES = 5: inception_i3d_flow is made for one"),
        ("x3d_xs", "slowfast_r50", 1, "'slowfast_r50' has pathways of its own"),
        ("x3d_xs", "", 1, "TWO_STREAM.FLOW = '' is no model"),
    ):
        with pytest.raises(ConfigError, match=message):
            two_stream(rgb, flow, frames=4, side=64, flow_frames=flow_frames)
    with pytest.raises(ConfigError, match="nothing says which models its streams are"):
        load_cfg(overrides=["MODEL.MODEL_NAME", "TwoStream"])
    with pytest.raises(ConfigError, match="must be two numbers above 0"):
        two_stream("x3d_xs", "x3d_xs", frames=4, side=64, overrides=["TWO_STREAM.WEIGHTS", "[1.0, 0.0]"])


@pytest.mark.parametrize("objective", ["DRLFreeze", "Rev2Net"])
def test_objectives_train_it(objective, tmp_path):
    (tmp_path / "data.yaml").write_text(DATA)
    streams = ["TWO_STREAM.RGB", "x3d_xs", "TWO_STREAM.FLOW", "x3d_xs", "TWO_STREAM.FLOW_FRAMES", "2"]
    keys = ["MODEL.MODEL_NAME", "TwoStream", *streams, "OBJECTIVE.NAME", objective, "OUTPUT_DIR", str(tmp_path)]
    keys += ["TEST.ENABLE", "False", "BIAS.ENABLE", "False"]
    assert main(["run", "--cfg", str(tmp_path / "data.yaml"), *keys]) == 0
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.pyth")
    state = torch.load(checkpoint, weights_only=True)["model_state"]
    assert all(bool(value.isfinite().all()) for value in state.values())
