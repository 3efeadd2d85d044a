"""TSN and TSM against torchvision's 2D ResNets, frame by frame, and against the names that public checkpoints have."""

import pickle
import re

import pytest
import torch
import torchvision
from torch import nn

import pvbias.plugins.classic_models  # noqa: F401 (registers the 3D ResNets)
from pvbias.models import Recognizer
from pvbias.plugins.classic_models.temporal_shift import temporal_shift
from pvbias.registries import KEY_LAYOUT, MODEL
from pvbias.zoo import load_weights

LAYOUT = "2D ResNet"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def recognizer_of(name: str, num_classes: int = 5) -> Recognizer:
    entry = MODEL.get(name)
    module = entry.build(num_classes=num_classes, num_frames=8, crop_size=32)
    return Recognizer(module, clip_spec=entry.clip_spec, head=entry.head, pathways=entry.pathways).eval()


def weightless(name: str) -> nn.Module:
    with torch.device("meta"):
        return MODEL.get(name).build(num_classes=5, num_frames=8, crop_size=32)


def image_network(depth: int, num_classes: int = 5) -> nn.Module:
    """torchvision's, with random weights and statistics that keep the size of what goes through."""
    with torch.device("meta"):
        network = torchvision.models.get_model(f"resnet{depth}", num_classes=num_classes).eval()
    for value in network.to_empty(device="cpu").state_dict().values():
        if value.dim() > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            value.uniform_(0.5, 1.5)
        else:
            value.zero_()
    return network


def video_network(name: str, images: nn.Module) -> nn.Module:
    """The model with a 2D network's weights, through the layout."""
    module = weightless(name).eval()
    weights = KEY_LAYOUT.get(LAYOUT)(images.state_dict(), module.state_dict())
    module.load_state_dict(weights, strict=True, assign=True)
    return module


def test_the_shift_by_hand():
    # 16 channels, so two from the next frame, two from the previous one. A value is 100 frame + channel.
    frame, channel = torch.meshgrid(torch.arange(3), torch.arange(16), indexing="ij")
    features = (100 * frame + channel).T.reshape(1, 16, 3, 1, 1)
    shifted = temporal_shift(features)[0, :, :, 0, 0].T.tolist()
    assert shifted[0] == [100, 101, 0, 0, *range(4, 16)]
    assert shifted[1] == [200, 201, 2, 3, *range(104, 116)]
    assert shifted[2] == [0, 0, 102, 103, *range(204, 216)]
    # One frame has no neighbours; fewer channels than an eighth can be taken of stay.
    assert temporal_shift(features[:, :, :1]).flatten().tolist() == [0] * 4 + list(range(4, 16))
    assert torch.equal(temporal_shift(features[:, :7]), features[:, :7])


def test_tsn_averages_what_a_2d_network_says_of_the_frames():
    images = image_network(18)
    module = video_network("tsn_r18", images)
    clips = torch.rand(2, 3, 3, 40, 32)
    with torch.no_grad():
        expected = torch.stack([images(frame) for frame in clips.unbind(2)]).mean(0)
        torch.testing.assert_close(module(clips), expected, rtol=1e-4, atol=1e-5)
        in_order = module(clips)
        torch.testing.assert_close(module(clips.flip(2)), in_order, rtol=1e-4, atol=1e-5)


def shifting(num_frames: int):
    """A hook that gives a 2D layer of torchvision's network what TSM gives it, one frame after the other."""

    def shift(layer: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        features = inputs[0]
        moved = features.shape[1] // 8
        result = features.clone()
        for index in range(len(features)):
            place = index % num_frames
            last, first = place == num_frames - 1, place == 0
            result[index, :moved] = 0 if last else features[index + 1, :moved]
            result[index, moved : 2 * moved] = 0 if first else features[index - 1, moved : 2 * moved]
        return (result,)

    return shift


@pytest.mark.parametrize("depth", [18, 50])
def test_tsm_is_a_2d_network_whose_residual_branches_see_shifted_features(depth):
    images, num_frames = image_network(depth), 3
    module = video_network(f"tsm_r{depth}", images)
    for stage in (images.layer1, images.layer2, images.layer3, images.layer4):
        for block in stage:
            block.conv1.register_forward_pre_hook(shifting(num_frames))
    clips = torch.rand(2, 3, num_frames, 32, 40)
    with torch.no_grad():
        frames = clips.transpose(1, 2).flatten(0, 1)
        expected = images(frames).unflatten(0, (2, num_frames)).mean(1)
        torch.testing.assert_close(module(clips), expected, rtol=1e-4, atol=1e-5)
        memory = clips.contiguous(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(module(memory), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(module(clips.flip(2)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["tsn_r18", "tsm_r34", "tsm_r50", "tsm_r101"])
def test_names_are_those_of_public_checkpoints(name):
    """torchvision's behind ``base_model.``, ``net.`` where features are shifted, and ``new_fc`` for the projection."""
    every = 2 if name == "tsm_r101" else 1
    with torch.device("meta"):
        images = torchvision.models.get_model(f"resnet{name[5:]}", num_classes=5)
    expected = {}
    for key, value in images.state_dict().items():
        place = re.fullmatch(r"(layer\d\.(\d+)\.conv1)\.weight", key)
        if place and name.startswith("tsm") and int(place[2]) % every == 0:
            key = f"{place[1]}.net.weight"
        expected[key.replace("fc.", "new_fc.") if key.startswith("fc.") else f"base_model.{key}"] = value.shape
    assert {key: value.shape for key, value in weightless(name).state_dict().items()} == expected


def test_sizes_published_for_kinetics():
    """Lin et al. 2019, Table 2: 24.3 million parameters (their count is for 400 classes)."""
    with torch.device("meta"):
        module = MODEL.get("tsm_r50").build(num_classes=400, num_frames=8, crop_size=224)
    assert round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 1) == 24.3


@pytest.mark.parametrize("name", ["tsn_r18", "tsm_r18"])
@pytest.mark.parametrize("size", [(8, 32, 32), (3, 50, 33), (1, 16, 16)])
def test_clips_of_any_size_features_and_taps(name, size):
    recognizer = recognizer_of(name)
    clips = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        with recognizer.taps("base_model.layer1", "base_model.layer4") as features:
            logits = recognizer(clips)
        embedding = recognizer.embed(clips)
    assert logits.shape == (2, 5)
    assert embedding.shape == (2, 512)
    assert torch.allclose(recognizer.head(embedding), logits, atol=1e-5)
    frames, height, width = size
    assert features["base_model.layer1"].shape == (2, 64, frames, -(-height // 4), -(-width // 4))
    assert features["base_model.layer4"].shape == (2, 512, frames, -(-height // 32), -(-width // 32))


def test_a_public_checkpoint_as_it_is(tmp_path):
    theirs = recognizer_of("tsm_r18", num_classes=7).module.state_dict()
    path = tmp_path / "TSM.pth"
    torch.save({"epoch": 50, "state_dict": {f"module.{name}": value for name, value in theirs.items()}}, path)
    recognizer = recognizer_of("tsm_r18", num_classes=5)
    report = load_weights(recognizer, str(path))
    assert report.backbone_fraction == 1
    assert set(report.skipped) == set(report.initialised) == {"new_fc.weight", "new_fc.bias"}
    assert torch.equal(
        recognizer.module.state_dict()["base_model.layer3.1.conv1.net.weight"],
        theirs["base_model.layer3.1.conv1.net.weight"],
    )


@pytest.mark.parametrize("name", ["tsn_r18", "tsm_r18", "r3d_18"])
def test_from_images(name, tmp_path):
    """A 2D checkpoint fills all of a backbone, 3D kernels by inflation, and none of a head for other classes."""
    images = image_network(18, num_classes=1000).state_dict()
    torch.save(images, tmp_path / "resnet18.pth")
    recognizer = recognizer_of(name)
    report = load_weights(recognizer, str(tmp_path / "resnet18.pth"))
    assert report.backbone_fraction == 1
    assert not report.head_loaded
    assert report.initialised.keys() == {f"{recognizer.head_name}.weight", f"{recognizer.head_name}.bias"}
    loaded = recognizer.module.state_dict()
    if name == "r3d_18":
        assert report.layout == ""
        assert set(report.inflated) == {key for key, value in images.items() if value.dim() == 4}
        torch.testing.assert_close(loaded["layer2.0.conv1.weight"].sum(2), images["layer2.0.conv1.weight"])
    else:
        assert (report.layout, report.inflated) == (LAYOUT, ())
        key = f"base_model.layer2.0.conv1.{'net.' if name == 'tsm_r18' else ''}weight"
        assert torch.equal(loaded[key], images["layer2.0.conv1.weight"])


@pytest.mark.parametrize("name", ["tsn_r18", "tsm_r18", "tsn_r50", "tsm_r50"])
def test_on_flow_the_first_kernel_has_two_channels(name):
    entry = MODEL.get(f"{name}_flow")
    own = {key: value.shape for key, value in weightless(f"{name}_flow").state_dict().items()}
    rgb = {key: value.shape for key, value in weightless(name).state_dict().items()}
    assert own == rgb | {"base_model.conv1.weight": (64, 2, 7, 7)}
    assert entry.clip_spec.modality == "flow"
    assert entry.clip_spec.num_frames == MODEL.get(name).clip_spec.num_frames
    assert (entry.stages, list(entry.weights)) == ("", ["imagenet"])
    assert pickle.loads(pickle.dumps(entry.pathways)) is entry.pathways


@pytest.mark.parametrize("name", ["tsn_r18_flow", "tsm_r18_flow"])
def test_flow_from_images(name, tmp_path):
    """TSN's cross-modality initialisation from a 2D network for RGB; the third channel of coded flow says nothing."""
    images = image_network(18, num_classes=1000).state_dict()
    torch.save(images, tmp_path / "resnet18.pth")
    recognizer = recognizer_of(name)
    report = load_weights(recognizer, str(tmp_path / "resnet18.pth"))
    assert (report.backbone_fraction, report.layout) == (1, LAYOUT)
    assert (report.inflated, report.averaged) == ((), ("base_model.conv1.weight",))
    red, green, blue = images["conv1.weight"].unbind(1)
    for channel in recognizer.module.base_model.conv1.weight.unbind(1):
        torch.testing.assert_close(channel, (red + green + blue) / 3)
    clip = torch.randint(1, 256, (2, 3, 4, 32, 32), dtype=torch.uint8)
    other = clip.clone()
    other[:, 2] = 0
    with torch.no_grad():
        assert torch.equal(recognizer(clip), recognizer(other))


@pytest.mark.parametrize(("source", "target"), [("tsn_r50", "tsm_r50"), ("tsm_r18", "tsn_r18")])
def test_between_tsn_and_tsm(source, target):
    theirs, own = weightless(source).state_dict(), weightless(target).state_dict()
    weights = KEY_LAYOUT.get(LAYOUT)(theirs, own)
    assert {name: value.shape for name, value in weights.items()} == {name: own[name].shape for name in own}


def test_a_key_without_a_place_keeps_its_name():
    images, own = image_network(18).state_dict(), weightless("tsm_r18").state_dict()
    weights = KEY_LAYOUT.get(LAYOUT)({**images, "decoder.weight": torch.zeros(1)}, own)
    assert weights.keys() - own.keys() == {"decoder.weight"}


def test_what_is_not_of_that_layout():
    layout, own = KEY_LAYOUT.get(LAYOUT), weightless("tsm_r18").state_dict()
    images = image_network(18).state_dict()
    assert layout({"blocks.0.conv.weight": torch.zeros(1)}, own) is None
    assert layout(own, own) is None  # needs no other names
    assert layout(images, images) is None  # no TSM


def test_weights_for_images_are_torchvisions():
    for depth in (18, 34, 50, 101):
        published = torchvision.models.get_model_weights(f"resnet{depth}")["IMAGENET1K_V1"].url
        for kind in ("tsn", "tsm"):
            weights = MODEL.get(f"{kind}_r{depth}").weights["imagenet"]
            assert (weights.url, weights.num_classes, weights.top1) == (published, 1000, None)
