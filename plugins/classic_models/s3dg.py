"""S3D-G with a space-to-depth stem, as released after training on HowTo100M with MIL-NCE.

- S3D-G: Xie et al., Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification, ECCV
  2018.
- The weights: Miech et al., End-to-End Learning of Visual Representations from Uncurated Instructional Videos, CVPR
  2020.

Modules have the names of the release (antoine77340/S3D_HowTo100M). Its file also holds the text network, which is not
built here: those weights are left over. torchvision's S3D is another network, without gating and with a separable stem
on RGB.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.clips import ClipSpec
from pvbias.errors import ConfigError
from pvbias.layers import concatenate, normalize
from pvbias.models import Weights, ZooModel
from pvbias.registries import KEY_LAYOUT, MODEL
from pvbias.zoo.key_layouts import Refusal

from .inception_i3d import MIXED, Branches


class S3DG(nn.Module):
    """S3D-G: separable 3D convolutions whose features gate themselves.

    ::

        clip (N, 3, T, H, W) -> space to depth (N, 24, T/2, H/2, W/2) -> conv1, 2x4x4 -> conv_2b, conv_2c -> gating
          -> mixed_3b, 3c -> mixed_4b .. 4f -> mixed_5b, 5c (N, 1024, T/8, H/32, W/32) -> mean over all positions
          -> fc: logits (N, K); in the release the video's place in the space that it shares with texts, K = 512

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = ConvUnit(24, 64, (2, 4, 4), padding=(1, 2, 2))
        self.conv_2b = ConvUnit(64, 64, (1, 1, 1))
        self.conv_2c = SeparableUnit(64, 192)
        self.gating = SelfGating(192)
        channels = 192
        for name, branches in MIXED.items():
            mixed = GatedInception(channels, branches)
            self.add_module(f"mixed_{name}", mixed)
            channels = mixed.out_channels
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        x = self.conv1(space_to_depth(clip))[:, :, 1:, 1:, 1:]  # what is left is padded as TensorFlow's "SAME"
        x = pool(x, (1, 3, 3), (1, 2, 2))
        x = self.gating(self.conv_2c(self.conv_2b(x)))
        x = pool(x, (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            if name == "4b":
                x = pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "5b":
                x = pool(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(f"mixed_{name}")(x)
        return self.fc(x.mean(dim=(2, 3, 4)))


class ConvUnit(nn.Module):
    """Convolution, BatchNorm, ReLU.

    Args:
        in_channels, out_channels: of the convolution.
        kernel_size, padding: frames, height, width.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int, int],
        padding: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return normalize(self.bn1, self.conv1(x), activation="relu")


class SeparableUnit(ConvUnit):
    """1x3x3, BatchNorm, ReLU, then 3x1x1, BatchNorm, ReLU.

    Args:
        in_channels, out_channels: of the whole.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (1, 3, 3), (0, 1, 1))
        self.conv2 = nn.Conv3d(out_channels, out_channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn2 = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return normalize(self.bn2, self.conv2(super().forward(x)), activation="relu")


class SelfGating(nn.Module):
    """Features times the sigmoid of a linear map of their means over all positions (S3D-G, section 4.3).

    Args:
        channels: C of ``(N, C, T, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))[:, :, None, None, None] * x


class GatedInception(nn.Module):
    """Four gated branches side by side, their channels joined: ``(N, C, T, H, W) -> (N, out_channels, T, H, W)``.

    Args:
        in_channels: C.
        branches: output channels of each convolution.
    """

    def __init__(self, in_channels: int, branches: Branches) -> None:
        super().__init__()
        single, (reduced_1, wide_1), (reduced_2, wide_2), pooled = branches
        self.out_channels = single + wide_1 + wide_2 + pooled
        self.conv_b0 = ConvUnit(in_channels, single, (1, 1, 1))
        self.conv_b1_a = ConvUnit(in_channels, reduced_1, (1, 1, 1))
        self.conv_b1_b = SeparableUnit(reduced_1, wide_1)
        self.conv_b2_a = ConvUnit(in_channels, reduced_2, (1, 1, 1))
        self.conv_b2_b = SeparableUnit(reduced_2, wide_2)
        self.maxpool_b3 = nn.MaxPool3d(3, stride=1, padding=1)
        self.conv_b3_b = ConvUnit(in_channels, pooled, (1, 1, 1))
        self.gating_b0 = SelfGating(single)
        self.gating_b1 = SelfGating(wide_1)
        self.gating_b2 = SelfGating(wide_2)
        self.gating_b3 = SelfGating(pooled)

    def forward(self, x: Tensor) -> Tensor:
        return concatenate(
            [
                self.gating_b0(self.conv_b0(x)),
                self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
                self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
                self.gating_b3(self.conv_b3_b(self.maxpool_b3(x))),
            ]
        )


def space_to_depth(clip: Tensor) -> Tensor:
    """Blocks of 2x2x2 positions as channels: ``(N, C, T, H, W) -> (N, 8 C, T/2, H/2, W/2)``, the channel (block's
    frame, row, column, C)."""
    n, c, t, h, w = clip.shape
    blocks = clip.reshape(n, c, t // 2, 2, h // 2, 2, w // 2, 2)
    return blocks.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(n, 8 * c, t // 2, h // 2, w // 2)


def pool(x: Tensor, kernel_size: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max pooling of ``(N, C, T, H, W)``, x >= 0, as the release pads: where a kernel is longer than its stride one
    zero at the end, and sizes rounded up."""
    padding = [
        extra
        for kernel, step in zip(reversed(kernel_size), reversed(stride), strict=True)
        for extra in (0, kernel - step)
    ]
    return F.max_pool3d(F.pad(x, padding), kernel_size, stride, ceil_mode=True)


def build_s3dg(*, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """S3D-G for clips of an even number of frames and an even crop.

    Args:
        num_classes: K.
        num_frames, crop_size: of the training clips; the module does not depend on them.

    Raises:
        ConfigError: an odd size, which has no blocks of 2x2x2 positions.
    """
    for key, size in (("DATA.NUM_FRAMES", num_frames), ("DATA.TRAIN_CROP_SIZE", crop_size)):
        if size % 2:
            raise ConfigError(f"{key} = {size}: S3D-G with a space-to-depth stem takes even sizes only.")
    return S3DG(num_classes)


@KEY_LAYOUT.register(name="S3D-G (MIL-NCE)")
def from_milnce(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Refusal | None:
    """Refuse MIL-NCE's S3D-G for torchvision's S3D, whose names say that it is another network."""
    if "mixed_5c.gating_b3.fc.weight" not in weights or "features.0.0.0.weight" not in own:
        return None
    return Refusal(
        "they are of S3D-G, which gates its features and begins with a 2x4x4 convolution on blocks of 2x2x2 pixels; "
        "torchvision's S3D does neither. The model s3dg has them"
    )


MODEL.register(
    ZooModel(
        zoo="classic_models",
        build=build_s3dg,
        clip_spec=ClipSpec(
            num_frames=32,
            sampling_rate=1,
            fps=10.0,
            crop_size=200,
            test_crop_size=200,
            short_side=224,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            # Consecutive frames at 10 per second.
            sampling="rate",
        ),
        head="fc",
        weights={
            # Its 512 outputs are no classes, but the space that videos share with texts.
            "howto100m": Weights(
                url="https://www.rocq.inria.fr/cluster-willow/amiech/howto100m/s3d_howto100m.pth", num_classes=512
            ),
        },
    ),
    name="s3dg",
)
