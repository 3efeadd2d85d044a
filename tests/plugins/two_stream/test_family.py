"""Two-stream networks by keys of the configuration, and objectives that train them."""

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError
from pvbias.plugins.two_stream import join
from pvbias.tools.main import main

from .networks import DATA, save_model, two_stream


def test_models_that_cannot_be_streams():
    for rgb, flow, flow_frames, message in (
        ("x3d_xxs", "x3d_xs", 1, "TWO_STREAM.RGB = 'x3d_xxs' is no model.*x3d_xs"),
        ("inception_i3d_flow", "x3d_xs", 1, "is a model on optical flow: name it in TWO_STREAM.FLOW"),
        ("inception_i3d", "inception_i3d_flow", 5, "TWO_STREAM.FLOW_FRAMES = 5: inception_i3d_flow is made for one"),
        ("x3d_xs", "slowfast_r50", 1, "'slowfast_r50' has pathways of its own"),
        ("x3d_xs", "", 1, "nothing says which models its streams are. Set TWO_STREAM.FLOW, or"),
    ):
        with pytest.raises(ConfigError, match=message):
            two_stream(rgb, flow, frames=4, side=64, flow_frames=flow_frames)
    with pytest.raises(ConfigError, match="nothing says which models its streams are"):
        load_cfg(overrides=["MODEL.MODEL_NAME", "TwoStream"])
    with pytest.raises(ConfigError, match="must be two numbers above 0"):
        two_stream("x3d_xs", "x3d_xs", frames=4, side=64, overrides=["TWO_STREAM.WEIGHTS", "[1.0, 0.0]"])


def test_keys_are_those_that_the_weights_say(tmp_path):
    """They are written into the configuration, and others are an error: not silently without effect."""
    save_model("tsn_r18", tmp_path / "rgb.pyth")
    rgb = ("tsn_r18", str(tmp_path / "rgb.pyth"))
    join(rgb, rgb, tmp_path / "two.pyth", num_flow_frames=3, weights=(1.0, 1.5), new_head=True)
    keys = ["MODEL.MODEL_NAME", "TwoStream", "TRAIN.CHECKPOINT_FILE_PATH", str(tmp_path / "two.pyth")]
    for given in ([], ["TWO_STREAM.RGB", "tsn_r18", "TWO_STREAM.FLOW_FRAMES", "3"]):
        cfg = complete(load_cfg(overrides=[*keys, *given]), num_classes=5)
        assert dict(cfg.TWO_STREAM) == {"RGB": "tsn_r18", "FLOW": "tsn_r18", "FLOW_FRAMES": 3, "WEIGHTS": [1.0, 1.5]}
    for key, value in (("RGB", "tsm_r18"), ("FLOW_FRAMES", "5"), ("WEIGHTS", "[1.0, 1.0]")):
        with pytest.raises(ConfigError, match=rf"TWO_STREAM.{key} = .* and '.*two.pyth' is of a network with"):
            load_cfg(overrides=[*keys, f"TWO_STREAM.{key}", value])


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
