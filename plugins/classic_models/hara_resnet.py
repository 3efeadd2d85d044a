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

from .residual import DEPTHS, WIDTHS, Depth, Layers

#: He et al.'s names of what a shortcut does where sizes change: A subsamples and adds zeros, B convolves.
Shortcut = Literal["A", "B"]


def build_hara_resnet(
    depth: Depth, *, num_classes: int, num_frames: int, crop_size: int, shortcut: Shortcut = "B"
) -> nn.Module:
    """A 3D ResNet for clips of any size.

    ::

        clip (N, 3, T, H, W) -> conv1 7x7x7, stride 1x2x2 -> maxpool 3x3x3, stride 2x2x2
          -> layer1 .. layer4, of which each but the first halves T, H and W
          -> mean over all positions (N, D) -> logits (N, K)

    Sizes round up.

    Args:
        depth: its blocks.
        num_classes: K.
        num_frames, crop_size: of the training clips; the architecture does not depend on them.
        shortcut: of the blocks that change sizes.
    """
    kinds = {"A": _subsample_and_pad, "B": _convolve}
    made_of = Layers(conv=_convolution, norm=nn.BatchNorm3d, shortcut=kinds[shortcut])
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv3d(3, WIDTHS[0], kernel_size=7, stride=(1, 2, 2), padding=3, bias=False),
        bn1=nn.BatchNorm3d(WIDTHS[0]),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool3d(kernel_size=3, stride=2, padding=1),
        **{name: nn.Sequential(*blocks) for name, blocks in depth.stages(made_of)},
        avgpool=nn.AdaptiveAvgPool3d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(depth.channels, num_classes),
    )
    for module in layers.values():
        module.apply(_initialise)
    return nn.Sequential(layers)


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


def _convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)


def _subsample_and_pad(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return SubsampleAndPad(out_channels - in_channels, stride)


def _convolve(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(_convolution(in_channels, out_channels, 1, stride), nn.BatchNorm3d(out_channels))


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
    sampling="hara",
)
# RGB in [0, 255], written for RGB in [0, 1].
_CLIP_2017 = _CLIP.replace(mean=(114.7748 / 255, 107.7354 / 255, 99.4750 / 255), std=(1 / 255, 1 / 255, 1 / 255))


def _register(depth: int, shortcut_2017: Shortcut, imagenet: str) -> None:
    """Register a depth as published in 2020 and in 2017; ``imagenet`` is the address of torchvision's 2D weights."""
    build = partial(build_hara_resnet, DEPTHS[depth])
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


_register(18, "A", ResNet18_Weights.IMAGENET1K_V1.url)
_register(34, "A", ResNet34_Weights.IMAGENET1K_V1.url)
_register(50, "B", ResNet50_Weights.IMAGENET1K_V1.url)
_register(101, "B", ResNet101_Weights.IMAGENET1K_V1.url)
