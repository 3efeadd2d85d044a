"""Inception-I3D: GoogLeNet's modules frame by frame, TensorFlow's padding, the port's names, clips of any size, and
clips of flow and of grey values."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import googlenet

import pvbias.plugins.classic_models  # noqa: F401 (registers the models)
from pvbias.models import Recognizer
from pvbias.plugins.classic_models.inception_i3d import pad_same
from pvbias.registries import MODEL
from pvbias.video.flow_coding import encode_flow
from pvbias.zoo import load_weights

from ..models import recognizer_of, shapes

ENTRY = MODEL.get("inception_i3d")

#: Feature maps of a clip of 64 x 224 x 224: channels as in GoogLeNet's Table 1, sizes as in Quo Vadis, Figure 3.
FEATURES = {
    "Conv3d_1a_7x7": (64, 32, 112, 112),
    "Conv3d_2c_3x3": (192, 32, 56, 56),
    "Mixed_3b": (256, 32, 28, 28),
    "Mixed_3c": (480, 32, 28, 28),
    "Mixed_4b": (512, 16, 14, 14),
    "Mixed_4c": (512, 16, 14, 14),
    "Mixed_4d": (512, 16, 14, 14),
    "Mixed_4e": (528, 16, 14, 14),
    "Mixed_4f": (832, 16, 14, 14),
    "Mixed_5b": (832, 8, 7, 7),
    "Mixed_5c": (1024, 8, 7, 7),
}


@pytest.fixture(scope="module")
def recognizer():
    torch.manual_seed(0)
    module = ENTRY.build(num_classes=7, num_frames=64, crop_size=224)
    return Recognizer(module, clip_spec=ENTRY.clip_spec, head=ENTRY.head, stages=ENTRY.stages).eval()


def randomise(module: nn.Module) -> None:
    """BatchNorm that does something."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)


def test_feature_maps_of_its_own_clips():
    with torch.device("meta"):
        module = ENTRY.build(num_classes=400, num_frames=64, crop_size=224)
        recognizer = Recognizer(module, clip_spec=ENTRY.clip_spec, head=ENTRY.head).eval()
        clip = torch.empty(1, 3, 64, 224, 224)
    with torch.no_grad(), recognizer.taps(*FEATURES) as features, recognizer.taps("avg_pool", "logits") as ends:
        assert recognizer(clip).shape == (1, 400)
    assert {name: tuple(feature.shape[1:]) for name, feature in features.items()} == FEATURES
    # One window of space, seven of time.
    assert ends["avg_pool"].shape == (1, 1024, 7, 1, 1)
    assert ends["logits"].shape == (1, 400, 7, 1, 1)


def test_names_and_numbers_of_weights():
    module = ENTRY.build(num_classes=400, num_frames=64, crop_size=224)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    conv_units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    conv_units += [
        f"{name}.{b}" for name in FEATURES if "Mixed" in name for b in ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
    ]
    norm = [f"bn.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    expected = {f"{unit}.{name}" for unit in conv_units for name in ("conv3d.weight", *norm)}
    assert shapes.keys() == expected | {"logits.conv3d.weight", "logits.conv3d.bias"}
    assert shapes["Conv3d_1a_7x7.conv3d.weight"] == (64, 3, 7, 7, 7)
    assert shapes["Conv3d_2c_3x3.conv3d.weight"] == (192, 64, 3, 3, 3)
    assert shapes["Mixed_3b.b2b.conv3d.weight"] == (32, 16, 3, 3, 3)
    assert shapes["Mixed_5c.b1b.conv3d.weight"] == (384, 192, 3, 3, 3)
    assert shapes["logits.conv3d.weight"] == (400, 1024, 1, 1, 1)
    # OpenVINO's model zoo gives 12.69 million for DeepMind's network.
    assert sum(value.numel() for value in module.parameters()) == pytest.approx(12.69e6, rel=1e-3)
    norms = [inner for inner in module.modules() if isinstance(inner, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


@pytest.mark.parametrize(("own", "googlenets"), [("Mixed_3b", "inception3a"), ("Mixed_5c", "inception5b")])
def test_with_kernels_of_one_frame_a_module_is_googlenets(recognizer, own, googlenets):
    flat = googlenet(weights=None, init_weights=False, aux_logits=False).get_submodule(googlenets).eval()
    randomise(flat)
    mixed = recognizer.submodule(own)
    branches = {"b0": "branch1", "b1a": "branch2.0", "b1b": "branch2.1", "b2a": "branch3.0", "b2b": "branch3.1"}
    for ours, theirs in {**branches, "b3b": "branch4.1"}.items():
        unit, twin = mixed.get_submodule(ours), flat.get_submodule(theirs)
        unit.bn.load_state_dict(twin.bn.state_dict())
        nn.init.zeros_(unit.conv3d.weight)
        with torch.no_grad():
            unit.conv3d.weight[:, :, unit.conv3d.kernel_size[0] // 2] = twin.conv.weight
    features = torch.rand(2, mixed.b0.conv3d.in_channels, 1, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close(mixed(features)[:, :, 0], flat(features[:, :, 0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [
        (224, 7, 2, (2, 3)),
        (225, 7, 2, (3, 3)),
        (112, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (16, 2, 2, (0, 0)),
        (5, 2, 2, (0, 1)),
        (1, 7, 2, (3, 3)),
        (9, 1, 1, (0, 0)),
    ],
)
def test_padding_of_tensorflow(size, kernel, stride, zeros):
    """By hand: ceil(size / stride) windows, the zeros that are missing shared out, an odd one last."""
    for axis in range(3):
        shape, kernels, strides = [1, 1, 1], [1, 1, 1], [1, 1, 1]
        shape[axis], kernels[axis], strides[axis] = size, kernel, stride
        padded = pad_same(torch.ones(1, 1, *shape), kernels, strides)
        assert padded.flatten().tolist() == [0.0] * zeros[0] + [1.0] * size + [0.0] * zeros[1]


def test_logits_are_averaged_over_overlapping_windows():
    """Three frames are left of 17: windows (1, 2) and (2, 3) count the middle one twice."""
    module = ENTRY.build(num_classes=4, num_frames=17, crop_size=32).eval()
    features = torch.rand(2, 1024, 3, 1, 1)
    with torch.no_grad():
        logits = nn.Sequential(*list(module.children())[-4:])(features)
    mean = (features * torch.tensor([0.25, 0.5, 0.25]).view(1, 1, 3, 1, 1)).sum((2, 3, 4))
    head = module.logits.conv3d
    torch.testing.assert_close(logits, F.linear(mean, head.weight.flatten(1), head.bias))


@pytest.mark.parametrize("size", [(1, 8, 8), (2, 8, 8), (17, 33, 40)])
def test_clips_of_any_size_and_a_convolution_as_the_head(recognizer, size):
    clip = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        logits, embedding = recognizer(clip), recognizer.embed(clip)
        assert (logits.shape, embedding.shape) == ((2, 7), (2, 1024))
        assert recognizer.num_classes == 7
        # Averaging over positions and projecting commute.
        projected = recognizer.head(embedding[:, :, None, None, None]).flatten(1)
        torch.testing.assert_close(projected, logits, rtol=1e-4, atol=1e-5)


def test_colours_go_from_minus_one_to_one(recognizer):
    clip = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(recognizer.normalize(clip).flatten(), torch.tensor([-1.0, 1.0, -0.6]))


def test_published_weights_of_another_class_count(recognizer, tmp_path):
    """As they are in the file: a bare state dict of PyTorch 0.3, which counted no batches."""
    published = ENTRY.build(num_classes=11, num_frames=64, crop_size=224).state_dict()
    state = {name: value for name, value in published.items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "rgb.pt")
    report = load_weights(recognizer, str(tmp_path / "rgb.pt"))
    assert report.backbone_fraction == 1
    assert not report.head_loaded
    assert report.skipped.keys() == {"logits.conv3d.weight", "logits.conv3d.bias"}
    assert torch.equal(recognizer.module.Mixed_4e.b1b.conv3d.weight, state["Mixed_4e.b1b.conv3d.weight"])
    assert ENTRY.weights["kinetics400"].url.endswith("/rgb_imagenet.pt")


def first_features(recognizer: Recognizer, clip: torch.Tensor) -> torch.Tensor:
    """What comes out of the first convolution."""
    with torch.no_grad(), recognizer.taps("Conv3d_1a_7x7") as features:
        recognizer(clip)
    return features["Conv3d_1a_7x7"]


@pytest.mark.parametrize(("name", "channels"), [("inception_i3d_flow", 2), ("inception_i3d_grey", 1)])
def test_another_modality_differs_in_the_first_kernel_only(name, channels):
    entry = MODEL.get(name)
    with torch.device("meta"):
        own = shapes(entry.build(num_classes=400, num_frames=64, crop_size=224))
        rgb = shapes(ENTRY.build(num_classes=400, num_frames=64, crop_size=224))
    assert own == rgb | {"Conv3d_1a_7x7.conv3d.weight": (64, channels, 7, 7, 7)}
    assert entry.stages == ""  # frames are not seen one at a time, and pathways would be left out
    assert pickle.loads(pickle.dumps(entry)).pathways is entry.pathways


def test_coded_flow_goes_in_from_minus_one_to_one_and_without_its_third_channel():
    """20 pixels to the left, no motion, 20 pixels up: what DeepMind's network was trained on."""
    recognizer = recognizer_of("inception_i3d_flow", num_frames=8, crop_size=16).eval()
    assert recognizer.clip_spec.modality == "flow"
    coded = torch.from_numpy(encode_flow(np.array([[-20.0, 0.0], [0.0, -20.0], [20.0, 10.0]]))).T.reshape(1, 3, 3, 1, 1)
    with recognizer.taps("Conv3d_1a_7x7", inputs=True) as seen, torch.no_grad():
        recognizer(coded)
    expected = torch.tensor([[-1.0, 0.0, 1.0], [0.0, -1.0, 0.5]])
    torch.testing.assert_close(seen["Conv3d_1a_7x7"].flatten(1), expected.reshape(1, 6), atol=0.005, rtol=0)

    clip = torch.randint(1, 256, (2, 3, 8, 16, 16), dtype=torch.uint8)
    other = clip.clone()
    other[:, 2] = 7
    # Random weights make nearly the same logits of everything, but not the same features.
    features = first_features(recognizer, clip)
    assert torch.equal(first_features(recognizer, other), features)
    other[:, 1] = 7
    assert (first_features(recognizer, other) - features).abs().max() > 0.1


def test_grey_is_the_mean_over_rgb(tmp_path):
    """With the weights of the network on RGB it makes of any clip what that one makes of the clip in grey."""
    rgb = recognizer_of("inception_i3d", num_frames=8, crop_size=16).eval()
    grey = recognizer_of("inception_i3d_grey", num_frames=8, crop_size=16).eval()
    torch.save(rgb.module.state_dict(), tmp_path / "rgb.pt")
    report = load_weights(grey, str(tmp_path / "rgb.pt"))
    assert (report.backbone_fraction, report.head_loaded) == (1, True)
    assert report.averaged == ("Conv3d_1a_7x7.conv3d.weight",)
    clip = torch.rand(2, 3, 8, 16, 16)
    expected = first_features(rgb, clip.mean(1, keepdim=True).expand_as(clip))
    torch.testing.assert_close(first_features(grey, clip), expected, rtol=1e-4, atol=1e-4)
    assert (first_features(rgb, clip) - expected).abs().max() > 0.1


def test_weights_for_flow(tmp_path):
    """Its own file as it is, through a file and back; that for RGB with the first kernel averaged (TSN)."""
    flow = recognizer_of("inception_i3d_flow", num_frames=8, crop_size=16)
    theirs = recognizer_of("inception_i3d_flow", num_frames=8, crop_size=16).module.state_dict()
    torch.save(theirs, tmp_path / "flow.pt")
    report = load_weights(flow, str(tmp_path / "flow.pt"))
    assert (report.backbone_fraction, report.head_loaded, report.averaged) == (1, True, ())
    assert all(torch.equal(value, theirs[name]) for name, value in flow.module.state_dict().items())

    rgb = ENTRY.build(num_classes=5, num_frames=8, crop_size=16).state_dict()
    torch.save(rgb, tmp_path / "rgb.pt")
    report = load_weights(flow, str(tmp_path / "rgb.pt"))
    assert (report.backbone_fraction, report.skipped, report.initialised) == (1, {}, {})
    assert report.averaged == ("Conv3d_1a_7x7.conv3d.weight",)
    red, green, blue = rgb["Conv3d_1a_7x7.conv3d.weight"].unbind(1)
    for channel in flow.module.Conv3d_1a_7x7.conv3d.weight.unbind(1):
        torch.testing.assert_close(channel, (red + green + blue) / 3)
    assert MODEL.get("inception_i3d_flow").weights["kinetics400"].url.endswith("/flow_imagenet.pt")


def test_a_step_reaches_every_parameter():
    module = ENTRY.build(num_classes=3, num_frames=8, crop_size=32).train()
    F.cross_entropy(module(torch.rand(2, 3, 8, 32, 32)), torch.tensor([0, 2])).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in module.parameters())


def test_starts_from_googlenet(tmp_path):
    flat = googlenet(weights=None, init_weights=False)
    torch.save(flat.state_dict(), tmp_path / "googlenet.pth")
    images = flat.state_dict()
    for name in ("inception_i3d", "inception_i3d_flow"):
        built = recognizer_of(name, num_classes=5, num_frames=8, crop_size=32)
        report = load_weights(built, str(tmp_path / "googlenet.pth"))
        loaded = built.module.state_dict()
        backbone = {key for key in loaded if not key.startswith("logits.")}
        assert set(report.loaded) == backbone
        assert torch.allclose(
            loaded["Mixed_4c.b2b.conv3d.weight"].sum(2), images["inception4b.branch3.1.conv.weight"], atol=1e-6
        )
        assert torch.equal(loaded["Mixed_5c.b3b.bn.running_mean"], images["inception5b.branch4.1.bn.running_mean"])
        assert torch.equal(loaded["Conv3d_2c_3x3.bn.weight"], images["conv3.bn.weight"])
