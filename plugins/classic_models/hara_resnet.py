"""3D ResNets with 3x3x3 kernels throughout (Hara, Kataoka and Satoh, CVPR 2018), named as in 3D-ResNets-PyTorch.

Its authors published weights twice. The later ones (2020: Kinetics-700 and others) were trained on RGB in [0, 1] with
the mean and standard deviation of Kinetics. The earlier ones (2017: Kinetics-400) were trained on RGB in [0, 255] with
the mean of ActivityNet and no scaling, the two shallow ones with shortcuts that have no weights.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet50_Weights, ResNet101_Weights

from pvbias.clips import ClipSpec
from pvbias.models import Weights, ZooModel
from pvbias.registries import MODEL

#: He et al.'s names of what a shortcut does where sizes change: A subsamples and adds zeros, B convolves.
Shortcut = Literal["A", "B"]

#: Channels inside the blocks of each stage.
WIDTHS = (64, 128, 256, 512)


def build_hara_resnet(
    block: type[BasicBlock | Bottleneck],
    depths: tuple[int, int, int, int],
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    shortcut: Shortcut = "B",
) -> nn.Module:
    """A 3D ResNet for clips of any size.

    ::

        clip (N, 3, T, H, W) -> conv1 7x7x7, stride 1x2x2 -> maxpool 3x3x3, stride 2x2x2
          -> layer1 .. layer4, of which each but the first halves T, H and W
          -> mean over all positions (N, D) -> logits (N, K)

    Sizes round up.

    Args:
        block: of which the stages are made.
        depths: blocks of each stage.
        num_classes: K.
        num_frames, crop_size: of the training clips; the architecture does not depend on them.
        shortcut: of the blocks that change sizes.
    """
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv3d(3, WIDTHS[0], kernel_size=7, stride=(1, 2, 2), padding=3, bias=False),
        bn1=nn.BatchNorm3d(WIDTHS[0]),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool3d(kernel_size=3, stride=2, padding=1),
    )
    channels = WIDTHS[0]
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=1):
        blocks = []
        for index in range(depth):
            stride = 2 if stage > 1 and index == 0 else 1
            blocks.append(block(channels, width, stride, shortcut))
            channels = width * block.expansion
        layers[f"layer{stage}"] = nn.Sequential(*blocks)
    layers["avgpool"] = nn.AdaptiveAvgPool3d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels, num_classes)
    for module in layers.values():
        module.apply(_initialise)
    return nn.Sequential(layers)


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut: ``(N, C, T, H, W) -> (N, width, T/s, H/s, W/s)``.

    Args:
        in_channels: C.
        width: channels of the convolutions.
        stride: s, of the first.
        shortcut: what it is where sizes change; elsewhere it is the input itself.
    """

    #: Channels of the output to one of ``width``.
    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return self.relu(residual + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3x3x3 convolution between two 1x1x1, and a shortcut: ``(N, C, T, H, W) -> (N, 4 width, T/s, H/s, W/s)``.

    Args:
        in_channels: C.
        width: channels of the middle convolution.
        stride: s, of the middle convolution.
        shortcut: what it is where sizes change; elsewhere it is the input itself.
    """

    #: Channels of the output to one of ``width``.
    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, width * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm3d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu(residual + self.downsample(x))


class SubsampleAndPad(nn.Module):
    """Shortcut A: every ``stride``-th position, and zeros in the channels that are missing; no weights.

    The authors' code stops gradients here. This passes them on, as a shortcut is for.

    Args:
        missing: channels to add.
        stride: in all three dimensions.
    """

    def __init__(self, missing: int, stride: int) -> None:
        super().__init__()
        self.missing, self.stride = missing, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, 0, 0, self.missing))


def _shortcut(entering: int, leaving: int, stride: int, kind: Shortcut) -> nn.Module:
    if stride == 1 and entering == leaving:
        return nn.Identity()
    if kind == "A":
        return SubsampleAndPad(leaving - entering, stride)
    return nn.Sequential(
        nn.Conv3d(entering, leaving, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(leaving)
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


_CLIP = ClipSpec(
    num_frames=16,
    sampling_rate=1,
    crop_size=112,
    test_crop_size=112,
    short_side=112,
    mean=(0.4345, 0.4051, 0.3775),
    std=(0.2768, 0.2713, 0.2737),
)
# RGB in [0, 255], written for RGB in [0, 1].
_CLIP_2017 = _CLIP.replace(mean=(114.7748 / 255, 107.7354 / 255, 99.4750 / 255), std=(1 / 255, 1 / 255, 1 / 255))


def _register(
    depth: int,
    block: type[BasicBlock | Bottleneck],
    depths: tuple[int, int, int, int],
    shortcut_2017: Shortcut,
    imagenet: str,
) -> None:
    """Register a depth as published in 2020 and in 2017; ``imagenet`` is the address of torchvision's 2D weights."""
    build = partial(build_hara_resnet, block, depths)
    model = ZooModel(
        zoo="classic_models",
        build=build,
        clip_spec=_CLIP,
        head="fc",
        # Under the same names; inflated when loaded.
        weights={"imagenet": Weights(url=imagenet, num_classes=1000)},
    )
    MODEL.register(model, name=f"r3d_{depth}")
    build_2017 = partial(build, shortcut=shortcut_2017)
    model_2017 = ZooModel(zoo="classic_models", build=build_2017, clip_spec=_CLIP_2017, head="fc")
    MODEL.register(model_2017, name=f"r3d_{depth}_2017")


_register(18, BasicBlock, (2, 2, 2, 2), "A", ResNet18_Weights.IMAGENET1K_V1.url)
_register(34, BasicBlock, (3, 4, 6, 3), "A", ResNet34_Weights.IMAGENET1K_V1.url)
_register(50, Bottleneck, (3, 4, 6, 3), "B", ResNet50_Weights.IMAGENET1K_V1.url)
_register(101, Bottleneck, (3, 4, 23, 3), "B", ResNet101_Weights.IMAGENET1K_V1.url)
