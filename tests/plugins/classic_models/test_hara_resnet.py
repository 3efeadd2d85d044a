"""Hara's 3D ResNets: 2D ResNets on one frame, the shapes of the paper, both releases' files."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet, resnet18, resnet34, resnet50, resnet101

import pvbias.plugins.classic_models  # noqa: F401 (registers the models)
from pvbias.models import Recognizer
from pvbias.plugins.classic_models.hara_resnet import SubsampleAndPad, build_hara_resnet
from pvbias.plugins.classic_models.residual import BasicBlock, Bottleneck, Depth
from pvbias.registries import MODEL
from pvbias.zoo import load_weights

from .. import models

#: 2D networks of the same names and channels.
FLAT = {"r3d_18": resnet18, "r3d_34": resnet34, "r3d_50": resnet50, "r3d_101": resnet101}
BLOCKS = [(BasicBlock, resnet.BasicBlock), (Bottleneck, resnet.Bottleneck)]


def recognizer_of(name: str, *, num_classes: int = 5, device: str = "cpu") -> Recognizer:
    with torch.device(device):
        return models.recognizer_of(name, num_classes=num_classes, num_frames=16, crop_size=112)


def one_block_a_stage(block: type[BasicBlock | Bottleneck], **options: str) -> nn.Module:
    depth = Depth(block=block, blocks=(1, 1, 1, 1))
    return build_hara_resnet(depth, num_classes=5, num_frames=16, crop_size=112, **options)


@pytest.mark.parametrize("name", FLAT)
def test_names_and_shapes_are_those_of_2d_resnets_with_time(name):
    with torch.device("meta"):
        flat = FLAT[name]().state_dict()
    ours = recognizer_of(name, num_classes=1000, device="meta").module.state_dict()
    assert ours.keys() == flat.keys()
    for key, value in ours.items():
        two_d = tuple(flat[key].shape)
        if value.dim() == 5:  # a kernel is as long as it is wide
            assert value.shape == (*two_d[:2], two_d[2], *two_d[2:])
        else:
            assert value.shape == two_d


@pytest.mark.parametrize("name", FLAT)
def test_names_of_the_release_of_2017(name):
    own = recognizer_of(name, device="meta").module.state_dict()
    shallow = name in ("r3d_18", "r3d_34")
    of_2017 = recognizer_of(f"{name}_2017", device="meta").module.state_dict()
    assert of_2017.keys() == {key for key in own if not (shallow and "downsample" in key)}


@pytest.mark.parametrize(("ours", "theirs"), BLOCKS)
def test_on_one_frame_it_is_the_2d_resnet_of_its_middle_slices(ours, theirs):
    """Beyond the frame there are zeros, so the other slices of the kernels never count."""
    flat = resnet.ResNet(theirs, [1, 1, 1, 1], num_classes=5).eval()
    for norm in flat.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
            norm.running_mean.normal_(std=0.2)
            norm.running_var.uniform_(0.5, 1.5)
    module = one_block_a_stage(ours).eval()
    own = module.state_dict()
    for key, value in flat.state_dict().items():
        if value.dim() == 4:
            own[key][:, :, own[key].shape[2] // 2] = value
        else:
            own[key].copy_(value)
    frames = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(module(frames[:, :, None]), flat(frames), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels"), [("r3d_34_2017", (64, 128, 256, 512)), ("r3d_101", (256, 512, 1024, 2048))]
)
def test_feature_maps_of_its_own_clips(name, channels):
    """Hara et al. 2018, Table 1."""
    recognizer = recognizer_of(name, device="meta").eval()
    sizes = [(8, 28, 28), (4, 14, 14), (2, 7, 7), (1, 4, 4)]
    expected = {f"layer{stage}": (c, *size) for stage, c, size in zip((1, 2, 3, 4), channels, sizes, strict=True)}
    with torch.no_grad(), recognizer.taps("conv1", "maxpool", *expected) as features:
        assert recognizer(torch.empty(1, 3, 16, 112, 112, device="meta")).shape == (1, 5)
    shapes = {key: tuple(value.shape[1:]) for key, value in features.items()}
    assert shapes == {"conv1": (64, 16, 56, 56), "maxpool": (64, 8, 28, 28), **expected}


def test_a_shortcut_without_weights_by_hand():
    x = torch.arange(2 * 3 * 2 * 2, dtype=torch.float32).view(1, 2, 3, 2, 2).requires_grad_()
    y = SubsampleAndPad(missing=1, stride=2)(x)
    assert y.shape == (1, 3, 2, 1, 1)
    assert y.flatten().tolist() == [0, 8, 12, 20, 0, 0]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().nonzero().flatten().tolist() == [0, 8, 12, 20]


def test_colours_as_each_release_saw_them():
    """In [0, 1] less Kinetics' mean over its standard deviation; in [0, 255] less ActivityNet's mean."""
    clip = torch.full((1, 3, 1, 1, 1), 255, dtype=torch.uint8)
    seen = []
    for name in ("r3d_18", "r3d_18_2017"):
        recognizer = Recognizer(nn.Identity(), clip_spec=MODEL.get(name).clip_spec, head="")
        seen.append(recognizer.normalize(clip).flatten())
    torch.testing.assert_close(seen[0], torch.tensor([2.0430, 2.1928, 2.2744]), rtol=0, atol=1e-4)
    torch.testing.assert_close(seen[1], torch.tensor([140.2252, 147.2646, 155.5250]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_clips_of_any_size(block):
    module = one_block_a_stage(block).eval()
    recognizer = Recognizer(module, clip_spec=MODEL.get("r3d_18").clip_spec, head="fc")
    for size in ((1, 8, 8), (5, 33, 40)):
        with torch.no_grad():
            clip = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
            logits, embedding = recognizer(clip), recognizer.embed(clip)
            assert (logits.shape, embedding.shape) == ((2, 5), (2, 512 * block.expansion))
            torch.testing.assert_close(recognizer.head(embedding), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("block", "shortcut"), [(BasicBlock, "A"), (Bottleneck, "B")])
def test_a_step_reaches_every_parameter(block, shortcut):
    module = one_block_a_stage(block, shortcut=shortcut).train()
    F.cross_entropy(module(torch.rand(3, 3, 4, 32, 32)), torch.tensor([0, 2, 1])).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in module.parameters())


def test_a_published_file(tmp_path):
    """Saved from DataParallel beside other things, in 2017 without counts of batches."""
    recognizer = recognizer_of("r3d_18_2017", num_classes=11)
    own = recognizer.module.state_dict()
    state = {f"module.{key}": torch.full_like(own[key], 0.5) for key in own if "num_batches" not in key}
    torch.save({"epoch": 200, "arch": "resnet-18", "state_dict": state, "optimizer": {}}, tmp_path / "r3d.pth")
    report = load_weights(recognizer, str(tmp_path / "r3d.pth"))
    assert report.backbone_fraction == 1
    assert report.head_loaded
    assert not report.skipped
    assert all(value.eq(0.5).all() for value in recognizer.parameters())
    (tmp_path / "r3d.pth").unlink()


def test_a_start_from_a_2d_resnet(tmp_path):
    flat = resnet18(num_classes=11)
    torch.save(flat.state_dict(), tmp_path / "resnet18.pth")
    recognizer = recognizer_of("r3d_18")
    report = load_weights(recognizer, str(tmp_path / "resnet18.pth"))
    assert report.backbone_fraction == 1
    assert not report.head_loaded
    kernel = recognizer.module.conv1.weight
    torch.testing.assert_close(kernel.sum(2), flat.conv1.weight)
    assert torch.equal(kernel[:, :, 0], kernel[:, :, 6])
    assert MODEL.get("r3d_18").weights["imagenet"].url.endswith("/resnet18-f37072fd.pth")
    (tmp_path / "resnet18.pth").unlink()
