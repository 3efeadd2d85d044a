"""R(2+1)D-34 and the channel-separated networks CSN-152, as released after training on IG-65M and Sports-1M.

torchvision's video ResNet is the frame, as it is in the public releases, so its names of modules are the keys of their
files. What goes into it differs: the convolutions, and the stem. The releases were trained in Caffe2 and converted;
the accuracies below are those of the originals.

- R(2+1)D: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018.
- CSN: Tran et al., Video Classification with Channel-Separated Convolutional Networks, ICCV 2019.
- IG-65M: Ghadiyaram et al., Large-scale weakly-supervised pre-training for video action recognition, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.video.resnet import (
    BasicBlock,
    BasicStem,
    Bottleneck,
    Conv2Plus1D,
    R2Plus1dStem,
    VideoResNet,
)

from pvbias.clips import ClipSpec
from pvbias.models import Weights, ZooModel
from pvbias.registries import MODEL

#: Caffe2's, with which the releases were trained.
BATCH_NORM_EPS = 1e-3


class FactorisedConv(Conv2Plus1D):
    """1x3x3, BatchNorm, ReLU, 3x1x1, with as many parameters as a 3x3x3 convolution.

    The channels between the two are M = floor(27 N N' / (9 N + 3 N')) for N channels in and N' out (R(2+1)D, section
    3.5). torchvision takes M of a block's first convolution for its second, too, which the releases do not.

    ``midplanes`` is that M, part of torchvision's interface and not used.
    """

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1) -> None:
        own_midplanes = 27 * in_planes * out_planes // (9 * in_planes + 3 * out_planes)
        super().__init__(in_planes, out_planes, own_midplanes, stride)


class DepthwiseConv(nn.Conv3d):
    """3x3x3 in each channel by itself: the *interaction-reduced* bottleneck's (CSN, section 3.2).

    ``midplanes`` is part of torchvision's interface and not used.
    """

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1) -> None:
        super().__init__(in_planes, out_planes, 3, stride, padding=1, groups=in_planes, bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """Stride of the shortcut beside it."""
        return stride, stride, stride


class PreservingConv(nn.Sequential):
    """1x1x1 over all channels, BatchNorm, 3x3x3 in each by itself: the *interaction-preserved* one (CSN, section 3.2).

    Arguments as in :class:`DepthwiseConv`.
    """

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(in_planes, out_planes, 1, bias=False),
            nn.BatchNorm3d(out_planes),
            DepthwiseConv(out_planes, out_planes, midplanes, stride),
        )

    get_downsample_stride = staticmethod(DepthwiseConv.get_downsample_stride)


def pooled_stem() -> nn.Sequential:
    """3x7x7 convolution, BatchNorm, ReLU, and a pool over 3x3 pixels: a frame's side is a quarter behind it."""
    return nn.Sequential(*BasicStem(), nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)))


def build_video_resnet(
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    block: type[BasicBlock | Bottleneck],
    conv: Any,
    layers: Sequence[int],
    stem: Callable[[], nn.Module],
) -> VideoResNet:
    """A video ResNet of one kind of convolution, for clips of any size.

    ::

        clip (N, 3, T, H, W) -> stem (N, 64, T, ...) -> layer1 (T) -> layer2 (T/2) -> layer3 (T/4) -> layer4 (T/8)
          -> mean over all positions -> logits (N, K)

    Args:
        num_classes: K.
        num_frames, crop_size: of the training clips; the module does not depend on them.
        block: of torchvision's video ResNet.
        conv: makes a block's 3x3x3 convolutions. (torchvision's annotation admits its own classes only.)
        layers: blocks of the four layers.
        stem: makes the stem.
    """
    module = VideoResNet(block, [conv] * 4, list(layers), stem, num_classes=num_classes)
    # Not the momentum: the 0.9 that the public code copies from Caffe2 is PyTorch's 0.1, its default.
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = BATCH_NORM_EPS
    return module


def _register(
    name: str,
    clip: tuple[int, int, int, int, int],
    weights: Mapping[str, tuple[str, int, float | None]],
    address: str,
    **architecture: Any,
) -> None:
    """Register a network.

    Args:
        name: in MODEL.
        clip: frames, sampling rate, training crop, test crop, short side.
        weights: file, classes and top-1 by name.
        address: folder of the files.
        architecture: for :func:`build_video_resnet`.
    """
    num_frames, sampling_rate, crop_size, test_crop_size, short_side = clip
    model = ZooModel(
        zoo="classic_models",
        build=partial(build_video_resnet, **architecture),
        clip_spec=ClipSpec(
            num_frames=num_frames,
            sampling_rate=sampling_rate,
            crop_size=crop_size,
            test_crop_size=test_crop_size,
            short_side=short_side,
            mean=(0.43216, 0.394666, 0.37645),
            std=(0.22803, 0.22145, 0.216989),
            sampling="vmz",
        ),
        head="fc",
        weights={
            trained_on: Weights(url=f"{address}/{file}", num_classes=num_classes, top1=top1)
            for trained_on, (file, num_classes, top1) in weights.items()
        },
    )
    MODEL.register(model, name=name)


# Weights are named by what they were trained on last and, where that was a fine-tuning, first: kinetics400_ig65m. The
# heads of those that were not fine-tuned have 359 classes after IG-65M (487 in the release for 8 frames), which no list
# names, and Sports-1M's 487.
_r2plus1d_34 = partial(
    _register,
    address="https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0",
    block=BasicBlock,
    conv=FactorisedConv,
    layers=(3, 4, 6, 3),
    stem=R2Plus1dStem,
)
_r2plus1d_34(
    "r2plus1d_34_8",
    (8, 1, 112, 112, 128),
    {
        "ig65m": ("r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth", 487, None),
        "kinetics400_ig65m": ("r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth", 400, 74.9),
    },
)
_r2plus1d_34(
    "r2plus1d_34_32",
    (32, 1, 112, 112, 128),
    {
        "ig65m": ("r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth", 359, None),
        "kinetics400_ig65m": ("r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth", 400, 80.0),
    },
)

_csn_152 = partial(
    _register,
    clip=(32, 2, 224, 256, 256),
    address="https://github.com/bjuncek/VMZ/releases/download/test_models",
    block=Bottleneck,
    layers=(3, 8, 36, 3),
    stem=pooled_stem,
)
_csn_152(
    "ir_csn_152",
    conv=DepthwiseConv,
    weights={
        "ig65m": ("irCSN_152_ig65m_from_scratch_f125286141.pth", 359, None),
        "kinetics400_ig65m": ("irCSN_152_ft_kinetics_from_ig65m_f126851907.pth", 400, 82.6),
        "sports1m": ("irCSN_152_Sports1M_from_scratch_f99918785.pth", 487, None),
        "kinetics400_sports1m": ("irCSN_152_ft_kinetics_from_Sports1M_f101599884.pth", 400, 78.2),
    },
)
_csn_152(
    "ip_csn_152",
    conv=PreservingConv,
    weights={
        "ig65m": ("ipCSN_152_ig65m_from_scratch_f130601052.pth", 359, None),
        "kinetics400_ig65m": ("ipCSN_152_ft_kinetics_from_ig65m_f133090949.pth", 400, 82.5),
        "sports1m": ("ipCSN_152_Sports1M_from_scratch_f111018543.pth", 487, None),
        "kinetics400_sports1m": ("ipCSN_152_ft_kinetics_from_Sports1M_f111279053.pth", 400, 78.8),
    },
)
