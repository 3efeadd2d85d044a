"""Residual blocks of any kind of layer, named as in torchvision's ResNets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from pvbias.layers import normalize

#: Channels inside the blocks of each stage.
WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Constructors of a residual block's layers.

    Attributes:
        conv: ``conv(in_channels, out_channels, kernel_size, stride)``, padded so that stride 1 keeps sizes, no bias.
        norm: ``norm(channels)``.
        shortcut: ``shortcut(in_channels, out_channels, stride)``, where sizes change.
    """

    conv: Callable[[int, int, int, int], nn.Module]
    norm: Callable[[int], nn.Module]
    shortcut: Callable[[int, int, int], nn.Module]

    def downsample(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        """The shortcut where sizes change; elsewhere the identity."""
        if stride == 1 and in_channels == out_channels:
            return nn.Identity()
        return self.shortcut(in_channels, out_channels, stride)


class BasicBlock(nn.Module):
    """Two convolutions of size 3 and a shortcut: ``(N, C, T, H, W) -> (N, width, ...)``.

    Args:
        in_channels: C.
        width: channels of the convolutions.
        stride: of the first.
        layers: of which it is made.
    """

    #: Channels of the output to one of ``width``.
    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, layers: Layers) -> None:
        super().__init__()
        self.conv1: nn.Module = layers.conv(in_channels, width, 3, stride)
        self.bn1 = layers.norm(width)
        self.conv2 = layers.conv(width, width, 3, 1)
        self.bn2 = layers.norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = layers.downsample(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = normalize(self.bn1, self.conv1(x), activation=self.relu)
        return normalize(self.bn2, self.conv2(residual), activation=self.relu, residual=self.downsample(x))


class Bottleneck(nn.Module):
    """A convolution of size 3 between two of size 1, and a shortcut: ``(N, C, T, H, W) -> (N, 4 width, ...)``.

    Args:
        in_channels: C.
        width: channels of the middle convolution.
        stride: of the middle convolution.
        layers: of which it is made.
    """

    #: Channels of the output to one of ``width``.
    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, layers: Layers) -> None:
        super().__init__()
        self.conv1: nn.Module = layers.conv(in_channels, width, 1, 1)
        self.bn1 = layers.norm(width)
        self.conv2 = layers.conv(width, width, 3, stride)
        self.bn2 = layers.norm(width)
        self.conv3 = layers.conv(width, width * self.expansion, 1, 1)
        self.bn3 = layers.norm(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = layers.downsample(in_channels, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = normalize(self.bn1, self.conv1(x), activation=self.relu)
        residual = normalize(self.bn2, self.conv2(residual), activation=self.relu)
        return normalize(self.bn3, self.conv3(residual), activation=self.relu, residual=self.downsample(x))


@dataclass(frozen=True, kw_only=True)
class Depth:
    """One of He et al.'s depths.

    Attributes:
        block: of which the stages are made.
        blocks: of each stage.
    """

    block: type[BasicBlock | Bottleneck]
    blocks: tuple[int, int, int, int]

    @property
    def channels(self) -> int:
        """Channels of the last stage's output."""
        return WIDTHS[-1] * self.block.expansion

    def stages(self, layers: Layers) -> Iterator[tuple[str, list[BasicBlock | Bottleneck]]]:
        """(``layer1``, its blocks) and so on; each stage but the first begins with a stride of 2."""
        channels = WIDTHS[0]
        for stage, (width, count) in enumerate(zip(WIDTHS, self.blocks, strict=True), start=1):
            blocks: list[BasicBlock | Bottleneck] = []
            for index in range(count):
                blocks.append(self.block(channels, width, 2 if stage > 1 and index == 0 else 1, layers))
                channels = width * self.block.expansion
            yield f"layer{stage}", blocks


DEPTHS = {
    18: Depth(block=BasicBlock, blocks=(2, 2, 2, 2)),
    34: Depth(block=BasicBlock, blocks=(3, 4, 6, 3)),
    50: Depth(block=Bottleneck, blocks=(3, 4, 6, 3)),
    101: Depth(block=Bottleneck, blocks=(3, 4, 23, 3)),
}
