"""R(2+1)D-34 and CSN-152: the keys of the public files, the published sizes, and what their convolutions mix."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

from pvbias.models import Recognizer
from pvbias.plugins.classic_models.video_resnets import DepthwiseConv, FactorisedConv
from pvbias.registries import MODEL
from pvbias.zoo.fetching import find_weights

NAMES = ["ip_csn_152", "ir_csn_152", "r2plus1d_34_32", "r2plus1d_34_8"]


@cache
def weightless(name: str) -> Recognizer:
    """On the device that computes shapes only."""
    entry = MODEL.get(name)
    with torch.device("meta"):
        module = entry.build(num_classes=400, num_frames=8, crop_size=32)
        return Recognizer(module, clip_spec=entry.clip_spec, head=entry.head).eval()


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "ir_csn_152",
            {
                "stem.0.weight": (64, 3, 3, 7, 7),
                "stem.1.running_mean": (64,),
                "layer1.0.conv1.0.weight": (64, 64, 1, 1, 1),
                "layer1.0.conv2.0.weight": (64, 1, 3, 3, 3),
                "layer1.0.conv2.1.running_var": (64,),
                "layer1.0.conv3.0.weight": (256, 64, 1, 1, 1),
                "layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
                "layer2.7.conv2.0.weight": (128, 1, 3, 3, 3),
                "layer3.35.conv1.0.weight": (256, 1024, 1, 1, 1),
                "layer4.2.conv3.1.bias": (2048,),
                "fc.weight": (400, 2048),
            },
        ),
        (
            "ip_csn_152",
            {
                "layer1.0.conv2.0.0.weight": (64, 64, 1, 1, 1),
                "layer1.0.conv2.0.1.running_mean": (64,),
                "layer1.0.conv2.0.2.weight": (64, 1, 3, 3, 3),
                "layer1.0.conv2.1.weight": (64,),
                "layer4.2.conv2.0.2.weight": (512, 1, 3, 3, 3),
                "fc.bias": (400,),
            },
        ),
        (
            "r2plus1d_34_32",
            {
                "stem.0.weight": (45, 3, 1, 7, 7),
                "stem.3.weight": (64, 45, 3, 1, 1),
                # M = floor(27 N N' / (9 N + 3 N')): 144 for 64 and 64, 230 for 64 and 128, 288 for 128 and 128
                "layer1.0.conv1.0.0.weight": (144, 64, 1, 3, 3),
                "layer1.0.conv1.0.3.weight": (64, 144, 3, 1, 1),
                "layer2.0.conv1.0.0.weight": (230, 64, 1, 3, 3),
                "layer2.0.conv2.0.0.weight": (288, 128, 1, 3, 3),
                "layer2.0.downsample.0.weight": (128, 64, 1, 1, 1),
                "layer3.5.conv2.0.3.weight": (256, 576, 3, 1, 1),
                "fc.weight": (400, 512),
            },
        ),
    ],
)
def test_keys_and_shapes_of_the_public_files(name, expected):
    found = shapes(weightless(name).module)
    assert {key: found.get(key) for key in expected} == expected
    blocks = {key.rsplit(".conv1", 1)[0] for key in found if ".conv1." in key}
    layers = [sum(block.startswith(f"layer{number}.") for block in blocks) for number in range(1, 5)]
    assert layers == ([3, 4, 6, 3] if "r2plus1d" in name else [3, 8, 36, 3])
    assert not {"conv2.0.0.weight", "conv2.0.1.weight"} & {key[9:] for key in found if name == "ir_csn_152"}


def test_r2plus1d_34_is_torchvisions_but_for_three_convolutions():
    """The release's own correction: the second convolution of a layer's first block has its own M."""
    with torch.device("meta"):
        plain = shapes(VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [3, 4, 6, 3], R2Plus1dStem))
    found = shapes(weightless("r2plus1d_34_8").module)
    assert found.keys() == plain.keys()
    changed = {key: found[key] for key in found if found[key] != plain[key] and key.endswith("conv2.0.0.weight")}
    assert changed == {
        "layer2.0.conv2.0.0.weight": (288, 128, 1, 3, 3),
        "layer3.0.conv2.0.0.weight": (576, 256, 1, 3, 3),
        "layer4.0.conv2.0.0.weight": (1152, 512, 1, 3, 3),
    }
    assert {key[:14] for key in found if found[key] != plain[key]} == {key[:14] for key in changed}


@pytest.mark.parametrize(
    ("name", "frames", "crop", "gigaflops", "megaparameters"),
    # VMZ's model zoo page; its GFLOPs, multiply-adds, are those of test crops: 128 and 256.
    [
        ("r2plus1d_34_32", 32, 128, 199.0, 63.6),
        ("ir_csn_152", 32, 256, 96.7, 29.6),
        ("ip_csn_152", 32, 256, 108.8, 32.8),
    ],
)
def test_published_cost(name, frames, crop, gigaflops, megaparameters):
    recognizer = weightless(name)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        recognizer.module(torch.empty(1, 3, frames, crop, crop, device="meta"))
    assert round(counter.get_total_flops() / 2e9, 1) == gigaflops
    # The page leaves BatchNorm out.
    kernels = sum(value.numel() for value in recognizer.module.parameters() if value.dim() > 1)
    assert kernels / 1e6 == pytest.approx(megaparameters, abs=0.1)


def test_a_factorised_convolution_has_as_many_weights_as_a_full_one():
    # 27 x 1 x 1 / (9 + 3) = 2.25: two channels between. Each sums 3 x 3 pixels of a clip of ones, then three frames.
    convolution = FactorisedConv(1, 1, 0).eval()
    for layer in convolution:
        if isinstance(layer, nn.Conv3d):
            nn.init.ones_(layer.weight)
    with torch.no_grad():
        summed = convolution(torch.ones(1, 1, 3, 3, 3))[0, 0]
    assert summed[1, 1, 1].item() == pytest.approx(2 * 9 * 3, rel=1e-4)
    assert summed[0, 0, 1].item() == pytest.approx(2 * 6 * 2, rel=1e-4)
    # 3 x 3 x 3 from 64 channels to 64.
    weights = sum(layer.weight.numel() for layer in FactorisedConv(64, 64, 0) if isinstance(layer, nn.Conv3d))
    assert weights == 27 * 64 * 64


def test_depthwise_convolutions_keep_channels_apart():
    convolution = DepthwiseConv(4, 4, 0, stride=2)
    nn.init.ones_(convolution.weight)
    clip = torch.zeros(1, 4, 5, 5, 5)
    clip[0, 2] = 1
    with torch.no_grad():
        summed = convolution(clip)
    # Stride 2 in time and space, zeros around: 2, 3 and 2 of 5 positions are inside a kernel of 3.
    inside = torch.tensor([2.0, 3.0, 2.0])
    expected = torch.zeros(1, 4, 3, 3, 3)
    expected[0, 2] = inside[:, None, None] * inside[None, :, None] * inside[None, None, :]
    assert torch.equal(summed, expected)


@pytest.mark.parametrize("name", ["ir_csn_152", "ip_csn_152"])
def test_only_kernels_of_one_mix_channels_behind_the_stem(name):
    layers = [layer for key, layer in weightless(name).module.named_modules() if key.startswith("layer")]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv3d)]
    assert {max(layer.kernel_size) for layer in convolutions if layer.groups == 1} == {1}
    depthwise = [layer for layer in convolutions if layer.groups > 1]
    assert len(depthwise) == 50
    assert all(layer.groups == layer.in_channels == layer.out_channels for layer in depthwise)


@pytest.mark.parametrize(("name", "pooled"), [("ip_csn_152", 2), ("r2plus1d_34_8", 1)])
def test_clips_of_any_size(name, pooled):
    recognizer = weightless(name)
    with recognizer.taps("stem", "layer1", "layer4") as features, torch.no_grad():
        assert recognizer(torch.empty(2, 3, 1, 33, 49, device="meta")).shape == (2, 400)
        recognizer(torch.empty(1, 3, 32, 224, 224, device="meta"))
    sides = {key: tuple(value.shape[2:4]) for key, value in features.items()}
    assert sides == {"stem": (32, 112 // pooled), "layer1": (32, 112 // pooled), "layer4": (4, 14 // pooled)}


@pytest.mark.parametrize("name", NAMES)
def test_batch_norm_is_caffe2s(name):
    norms = [layer for layer in weightless(name).module.modules() if isinstance(layer, nn.BatchNorm3d)]
    # Caffe2's momentum is what it keeps, 0.9; PyTorch's what it adds.
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}


def test_clips_and_weights():
    spec = MODEL.get("r2plus1d_34_8").clip_spec
    assert (spec.num_frames, spec.sampling_rate, spec.crop_size, spec.short_side) == (8, 1, 112, 128)
    assert MODEL.get("r2plus1d_34_32").clip_spec.num_frames == 32
    spec = MODEL.get("ir_csn_152").clip_spec
    assert (spec.num_frames, spec.sampling_rate, spec.crop_size, spec.test_crop_size) == (32, 2, 224, 256)
    published = {
        "r2plus1d_34_8/ig65m": (487, None),
        "r2plus1d_34_8/kinetics400_ig65m": (400, 74.9),
        "r2plus1d_34_32/ig65m": (359, None),
        "r2plus1d_34_32/kinetics400_ig65m": (400, 80.0),
        "ir_csn_152/kinetics400_ig65m": (400, 82.6),
        "ir_csn_152/kinetics400_sports1m": (400, 78.2),
        "ip_csn_152/kinetics400_ig65m": (400, 82.5),
        "ip_csn_152/sports1m": (487, None),
    }
    for name, figures in published.items():
        weights = find_weights(f"zoo://classic_models/{name}")
        assert (weights.num_classes, weights.top1) == figures
