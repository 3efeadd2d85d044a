"""Two checkpoints joined to one: logits, what does not go together, and the way through the command line."""

import json

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.data.labels import checkpoint_names
from pvbias.errors import WeightsError
from pvbias.models import build_recognizer
from pvbias.plugins.two_stream import join
from pvbias.tools.main import main
from pvbias.zoo import load_weights

from .networks import CLASSES, DATA, save_model


def test_joined_weights_give_the_sum_of_the_logits(tmp_path):
    names = ["run", "walk", "sit", "stand", "jump"]
    rgb = save_model("tsn_r18", tmp_path / "rgb.pyth", seed=1, class_names=names).eval()
    flow = save_model("tsn_r18_flow", tmp_path / "flow.pyth", seed=2).eval()
    models = ("tsn_r18", str(tmp_path / "rgb.pyth")), ("tsn_r18_flow", str(tmp_path / "flow.pyth"))
    join(*models, tmp_path / "two.pyth", weights=(1.0, 1.5))
    keys = ["MODEL.MODEL_NAME", "TwoStream", "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "two.pyth")]
    recognizer = build_recognizer(complete(load_cfg(overrides=keys), num_classes=CLASSES)).eval()
    report = load_weights(recognizer, str(tmp_path / "two.pyth"))
    assert (report.backbone_fraction, report.head_loaded) == (1, True)
    assert not report.initialised
    clip = torch.randint(256, (2, 5, recognizer.clip_spec.num_frames, 64, 64), dtype=torch.uint8)
    shown = recognizer.normalize(clip)
    with torch.no_grad():
        torch.testing.assert_close(recognizer(clip), rgb(shown[:, :3]) + 1.5 * flow(shown[:, 3:]), rtol=1e-4, atol=1e-5)
    assert recognizer.clip_spec.modality == "rgb+flow"
    assert list(checkpoint_names(str(tmp_path / "two.pyth"))) == names


def test_weights_that_cannot_be_joined(tmp_path):
    save_model("tsn_r18", tmp_path / "rgb.pyth", class_names=[*"abcde"])
    save_model("tsn_r18_flow", tmp_path / "other_order.pyth", class_names=[*"abced"])
    save_model("tsn_r18_flow", tmp_path / "fewer.pyth", classes=4)
    rgb = ("tsn_r18", str(tmp_path / "rgb.pyth"))
    with pytest.raises(WeightsError, match="the same in another order"):
        join(rgb, ("tsn_r18_flow", str(tmp_path / "other_order.pyth")), tmp_path / "two.pyth")
    with pytest.raises(WeightsError, match=r"tells 5 classes apart and .*fewer.pyth' 4 classes.*--new-head"):
        join(rgb, ("tsn_r18_flow", str(tmp_path / "fewer.pyth")), tmp_path / "two.pyth")
    with pytest.raises(WeightsError, match=r"rgb\.pyth' has weights on RGB, and .* never seen optical flow"):
        join(rgb, ("tsn_r18_flow", str(tmp_path / "rgb.pyth")), tmp_path / "two.pyth")
    assert not (tmp_path / "two.pyth").exists()


def test_what_the_weights_do_not_fill_is_not_in_the_joined_file(tmp_path):
    """Whoever loads it is told so, as of the checkpoint itself."""
    save_model("tsn_r18", tmp_path / "rgb.pyth")
    module = save_model("tsn_r18_flow", tmp_path / "flow.pyth")
    missing = "base_model.layer4.1.bn2.running_var"
    state = {name: value for name, value in module.state_dict().items() if name != missing}
    torch.save({"model_state": state}, tmp_path / "flow.pyth")
    models = ("tsn_r18", str(tmp_path / "rgb.pyth")), ("tsn_r18_flow", str(tmp_path / "flow.pyth"))
    join(*models, tmp_path / "two.pyth")
    keys = ["MODEL.MODEL_NAME", "TwoStream", "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "two.pyth")]
    recognizer = build_recognizer(complete(load_cfg(overrides=keys), num_classes=CLASSES))
    report = load_weights(recognizer, str(tmp_path / "two.pyth"))
    assert report.random == (f"flow.{missing}",)
    assert report.head_loaded


def test_a_network_to_train_from_starts_its_flow_stream_from_weights_on_rgb(tmp_path):
    """The first kernel is the mean over RGB, for each of the 2k channels (Wang et al. 2016, section 3.2)."""
    module = save_model("tsn_r18", tmp_path / "rgb.pyth")
    rgb = ("tsn_r18", str(tmp_path / "rgb.pyth"))
    join(rgb, rgb, tmp_path / "two.pyth", num_flow_frames=5, new_head=True)
    state = torch.load(tmp_path / "two.pyth")["model_state"]
    first = next(name for name, value in module.state_dict().items() if value.dim() >= 4)
    kernel = module.state_dict()[first]
    expected = kernel.mean(1, keepdim=True).expand(-1, 10, *kernel.shape[2:])
    torch.testing.assert_close(state[f"flow.{first}"], expected)
    assert torch.equal(state[f"rgb.{first}"], kernel)
    assert not any(name.startswith("head.") for name in state)


def test_from_two_checkpoints_to_a_page(tmp_path, capsys):
    """Joined, inspected, trained for a step and measured, by its name and its weights alone."""
    save_model("x3d_xs", tmp_path / "rgb.pyth", classes=10, seed=1)
    save_model("x3d_xs", tmp_path / "flow.pyth", classes=10, seed=2)
    (tmp_path / "data.yaml").write_text(DATA)
    out = str(tmp_path / "two.pyth")
    models = ["--rgb", "x3d_xs", str(tmp_path / "rgb.pyth"), "--flow", "x3d_xs", str(tmp_path / "flow.pyth")]
    assert main(["join", *models, "--flow-frames", "2", "--new-head", "--out", out]) == 0
    assert torch.load(out)["model_state"]["flow.blocks.0.conv.conv_t.weight"].shape[1] == 2 * 2  # two vectors
    assert main(["inspect", out]) == 0
    printed = capsys.readouterr().out
    assert "TwoStream" in printed
    assert "to be trained from" in printed
    assert "DATA: {FLOW_DIR: FLOW}" in printed
    keys = ["--cfg", str(tmp_path / "data.yaml"), "MODEL.MODEL_NAME", "TwoStream", "OUTPUT_DIR", str(tmp_path / "run")]
    evaluators = [
        "dynamic_score",
        "modulated_accuracy",
        "asdt",
        "self_convolution",
        "sample_clips",
        "temporal_activation",
    ]
    keys += ["BIAS.EVALUATORS", str(evaluators)]
    assert main(["run", *keys, "TRAIN.CHECKPOINT_FILE_PATH", out]) == 0
    run = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {*evaluators} <= run["results"].keys()
    assert any("optical flow beside RGB" in caution for caution in run["run"]["cautions"])
    assert all(result["figures"] or result["tables"] for result in run["results"].values())
    # The training's own checkpoint says by itself what it is of, without the weights that it started from.
    (trained,) = (tmp_path / "run" / "checkpoints").glob("*.pyth")
    (tmp_path / "two.pyth").unlink()
    keys = ["--cfg", str(tmp_path / "data.yaml"), "MODEL.MODEL_NAME", "TwoStream", "TRAIN.ENABLE", "False"]
    keys += ["TEST.CHECKPOINT_FILE_PATH", str(trained), "OUTPUT_DIR", str(tmp_path / "again"), "BIAS.ENABLE", "False"]
    assert main(["run", *keys]) == 0
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert again["results"]["accuracy"]["figures"] == run["results"]["accuracy"]["figures"]
