"""Two-stream networks: logits against those of the two models, through training, measuring and the command line."""

import json

import pytest
import torch

from pvbias.clips import ClipSpec
from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import build_recognizer
from pvbias.plugins.two_stream import TwoStreamNetwork, join
from pvbias.plugins.two_stream.network import Stream
from pvbias.registries import MODEL
from pvbias.tools.main import main
from pvbias.video.flow_coding import CODED_MEAN, CODED_STD
from pvbias.zoo import load_weights

CLASSES = 5


def save_model(name, path, *, classes=CLASSES, seed=0, **more):
    """Random weights of a model, as the zoo publishes them; the module."""
    torch.manual_seed(seed)
    spec = MODEL.get(name).clip_spec
    module = MODEL.get(name).build(num_classes=classes, num_frames=spec.num_frames, crop_size=spec.crop_size)
    torch.save({"model_state": module.state_dict(), **more}, path)
    return module


def two_stream(rgb, flow, *, frames, side, flow_frames=1, overrides=()):
    keys = ["MODEL.MODEL_NAME", "TwoStream", "TWO_STREAM.RGB", rgb, "TWO_STREAM.FLOW", flow]
    keys += ["TWO_STREAM.FLOW_FRAMES", str(flow_frames), "DATA.NUM_FRAMES", str(frames)]
    keys += ["DATA.TRAIN_CROP_SIZE", str(side), "DATA.TEST_CROP_SIZE", str(side), *overrides]
    return build_recognizer(complete(load_cfg(overrides=keys), num_classes=CLASSES))


@pytest.mark.parametrize(
    ("rgb", "flow", "flow_frames", "frames", "side"),
    [
        ("inception_i3d", "inception_i3d_flow", 1, 16, 64),
        ("slowfast_r50", "x3d_xs", 2, 32, 64),
        ("tsn_r18", "tsn_r18", 5, 3, 64),
        ("torchvision_s3d", "torchvision_r3d_18", 3, 16, 64),
    ],
)
def test_logits_are_the_weighted_sum_of_both_models(rgb, flow, flow_frames, frames, side):
    """Each model with its own final projection on its own part of the clip, as it is built without the other."""
    recognizer = two_stream(
        rgb, flow, frames=frames, side=side, flow_frames=flow_frames, overrides=["TWO_STREAM.WEIGHTS", "[1.0, 1.5]"]
    ).eval()
    network = recognizer.module
    clip = torch.randint(256, (2, 3 + 2 * flow_frames, frames, side, side), dtype=torch.uint8)
    with torch.no_grad():
        logits = recognizer(clip)
        embedding = recognizer.embed(clip)
    widths = [MODEL.get(name).build(num_classes=CLASSES, num_frames=frames, crop_size=side) for name in (rgb, flow)]
    widths = [
        module.get_submodule(MODEL.get(name).head).weight.shape[1]
        for module, name in zip(widths, (rgb, flow), strict=True)
    ]
    assert embedding.shape == (2, sum(widths))
    # Both models with heads of their own in place again, whose weights are what the head has of them.
    parts = {"rgb": clip[:, :3] / 255.0, "flow": (clip[:, 3:] / 255.0 - CODED_MEAN) / CODED_STD}
    spec = MODEL.get(rgb).clip_spec
    mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (spec.mean, spec.std))
    parts["rgb"] = (parts["rgb"] - mean) / std
    columns = dict(zip(("rgb", "flow"), network.head.weight.split(widths, dim=1), strict=True))
    total = network.head.bias.detach().clone()
    with torch.no_grad():
        for stream, name in (("rgb", rgb), ("flow", flow)):
            entry, module = MODEL.get(name), getattr(network, stream)
            original = entry.build(num_classes=CLASSES, num_frames=frames, crop_size=side).get_submodule(entry.head)
            original.weight.copy_(columns[stream].reshape(original.weight.shape))
            if original.bias is not None:
                original.bias.zero_()
            parent, _, attribute = entry.head.rpartition(".")
            setattr(module.get_submodule(parent), attribute, original.eval())
            total = total + module(entry.pathways(parts[stream]))
    torch.testing.assert_close(logits, total, rtol=1e-4, atol=1e-4)


def test_the_weights_of_a_new_network_are_those_of_its_models_times_the_streams_weights():
    linear = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, CLASSES)) for size in (24, 16)]
    rgb, flow = (
        Stream(name=str(weight), module=module, head="1", weight=weight)
        for module, weight in zip(linear, (2.0, 0.5), strict=True)
    )
    clip = torch.rand(3, 5, 2, 2, 2)
    expected = 2 * linear[0](clip[:, :3]) + 0.5 * linear[1](clip[:, 3:])
    torch.testing.assert_close(TwoStreamNetwork(rgb, flow)(clip), expected)


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

    class Doubled(torch.nn.Sequential):
        def forward(self, clip):
            return super().forward(clip.flatten(1))[:, :2] * 2

    odd = Stream(name="odd", module=Doubled(torch.nn.Linear(24, CLASSES)), head="0")
    other = Stream(name="other", module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5)), head="1")
    with pytest.raises(ConfigError, match="odd cannot be a stream: without its final projection"):
        TwoStreamNetwork(odd, other)(torch.rand(3, 5, 2, 2, 2))


def test_joined_weights_give_the_sum_of_the_logits(tmp_path):
    rgb = save_model("tsn_r18", tmp_path / "rgb.pyth", seed=1).eval()
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


def test_weights_that_cannot_be_joined(tmp_path):
    save_model("tsn_r18", tmp_path / "rgb.pyth", class_names=[*"abcde"])
    save_model("tsn_r18_flow", tmp_path / "other_order.pyth", class_names=[*"abced"])
    save_model("tsn_r18_flow", tmp_path / "fewer.pyth", classes=4)
    rgb = ("tsn_r18", str(tmp_path / "rgb.pyth"))
    with pytest.raises(WeightsError, match="the same in another order"):
        join(rgb, ("tsn_r18_flow", str(tmp_path / "other_order.pyth")), tmp_path / "two.pyth")
    with pytest.raises(WeightsError, match=r"tells 5 classes apart and .*fewer.pyth' 4 classes.*--new-head"):
        join(rgb, ("tsn_r18_flow", str(tmp_path / "fewer.pyth")), tmp_path / "two.pyth")
    assert not (tmp_path / "two.pyth").exists()


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


DATA = """
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 32, TEST_SHORT_SIDE: 40}
DECOUPLED: {SIZE: 32, BRUSH_SIZE: 8, FRAMES: 16, LABEL: motion, TRAIN_VIDEOS: 4, TEST_VIDEOS: 4}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 4}
TEST: {DATASET: brush_mnist}
SOLVER: {BASE_LR: 0.01, MAX_EPOCH: 1.0}
STUDENT: {NAME: squeezenet1_1}
DATA_LOADER: {NUM_WORKERS: 0}
"""


def test_from_two_checkpoints_to_a_page(tmp_path, capsys):
    """Joined, inspected, trained for a step and measured, by its name and its weights alone."""
    save_model("x3d_xs", tmp_path / "rgb.pyth", classes=10, seed=1)
    save_model("x3d_xs", tmp_path / "flow.pyth", classes=10, seed=2)
    (tmp_path / "data.yaml").write_text(DATA)
    out = str(tmp_path / "two.pyth")
    models = ["--rgb", "x3d_xs", str(tmp_path / "rgb.pyth"), "--flow", "x3d_xs", str(tmp_path / "flow.pyth")]
    assert main(["join", *models, "--flow-frames", "2", "--new-head", "--out", out]) == 0
    assert main(["inspect", out]) == 0
    printed = capsys.readouterr().out
    assert "TwoStream" in printed
    assert "to be trained from" in printed
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


def test_a_user_s_own_network_on_rgb_and_flow():
    import pvbias

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(7, CLASSES)

        def forward(self, clip):
            return self.fc(clip.mean((2, 3, 4)))

    spec = ClipSpec(
        num_frames=4,
        sampling_rate=1,
        crop_size=16,
        test_crop_size=16,
        short_side=16,
        modality="rgb+flow",
        mean=(0.5,) * 7,
        std=(0.5,) * 7,
    )
    assert pvbias.Recognizer.wrap(Network(), spec).head_name == "fc"
    with pytest.raises(ConfigError, match=r"3 \+ 2k.*there are 6 means"):
        spec.replace(mean=(0.5,) * 6)
