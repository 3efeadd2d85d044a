"""TSN and TSM: a 2D ResNet on each frame of a clip, the frames' logits averaged.

Module names and initial values are those of the TSM authors' code, which trains both, so its checkpoints fit as they
are. Inside, feature maps stay ``(N, C, T, H, W)``: a clip may have any number of frames, and an inner feature map looks
like that of a 3D network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet50_Weights, ResNet101_Weights

from pvbias.clips import ClipSpec
from pvbias.models import Weights, ZooModel
from pvbias.registries import KEY_LAYOUT, MODEL

from .modalities import flow_channels, on_flow
from .residual import DEPTHS, WIDTHS, Depth, Layers

_ADDRESS = "https://hanlab18.mit.edu/projects/tsm/models"


class _EachFrame(nn.Module):
    """Mixin that applies a 2D layer to each frame, ``(N, C, T, H, W) -> (N, C', T, h, w)``.

    The result lies in memory frame by frame, so that the next such layer copies nothing.
    """

    def forward(self, features: Tensor) -> Tensor:
        frames = features.transpose(1, 2)
        return super().forward(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)


class FrameConv2d(_EachFrame, nn.Conv2d):
    """A 2D convolution of each frame."""


class FrameBatchNorm2d(_EachFrame, nn.BatchNorm2d):
    """BatchNorm over all positions of all frames."""


class FrameMaxPool2d(_EachFrame, nn.MaxPool2d):
    """Max pooling within each frame."""


def temporal_shift(features: Tensor, *, divisor: int = 8) -> Tensor:
    """Give each frame a part of the features of its neighbours: ``(N, C, T, H, W)``, the shape stays (TSM, section 3).

    The first C // ``divisor`` channels come from the next frame, as many after them from the one before, the others
    from the frame itself. Beyond the clip's ends there are zeros.
    """
    channels = features.shape[1]
    shifted = channels // divisor
    from_next, from_previous, own = features.split([shifted, shifted, channels - 2 * shifted], dim=1)
    # Pads begin with the last dimension: W, H, T.
    from_next = F.pad(from_next[:, :, 1:], (0, 0, 0, 0, 0, 1))
    from_previous = F.pad(from_previous[:, :, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat([from_next, from_previous, own], dim=1)


class TemporalShift(nn.Module):
    """A layer on features that :func:`temporal_shift` has exchanged between frames."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> Tensor:
        """``(N, C, T, H, W) -> (N, C', T, h, w)``."""
        return self.net(temporal_shift(features))


def _convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> FrameConv2d:
    layer = FrameConv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(_convolution(in_channels, out_channels, 1, stride), FrameBatchNorm2d(out_channels))


class TemporalSegmentNetwork(nn.Module):
    """A 2D network on each frame and the mean of the frames' logits (TSN's average consensus).

    ::

        clip (N, C, T, H, W), any T, H, W -> base_model (N, D, T, h, w) -> mean over positions (N, T, D)
          -> dropout, new_fc (N, T, K) -> mean over frames (N, K)

    Args:
        base_model: the network on frames.
        num_features: D.
        num_classes: K.
    """

    def __init__(self, base_model: nn.Module, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.base_model = base_model
        self.dropout = nn.Dropout(0.5)
        self.new_fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.new_fc.weight, std=0.001)
        nn.init.zeros_(self.new_fc.bias)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits ``(N, K)`` of normalised clips ``(N, C, T, H, W)``."""
        features = self.base_model(clip).mean((3, 4)).transpose(1, 2)
        return self.new_fc(self.dropout(features)).mean(1)


def build_temporal_segments(
    depth: Depth, *, num_classes: int, num_frames: int, crop_size: int, shift: bool, in_channels: int = 3
) -> TemporalSegmentNetwork:
    """TSM, or TSN, which sees frames in no order.

    ::

        base_model: clip (N, C, T, H, W) -> conv1 7x7, stride 2 -> maxpool 3x3, stride 2
          -> layer1 .. layer4, of which each but the first halves H and W -> (N, D, T, H/32, W/32)

    Args:
        depth: its blocks.
        num_classes: K.
        num_frames, crop_size: of the training clips; the architecture does not depend on them.
        shift: the first convolution of each residual branch sees shifted features ("residual shift"); in a ResNet-101
            or deeper that of every second branch, counted anew in each stage.
        in_channels: C; 2 for optical flow.
    """
    stages = dict(depth.stages(Layers(conv=_convolution, norm=FrameBatchNorm2d, shortcut=_shortcut)))
    if shift:
        shifted_every = 2 if depth.blocks[2] >= 23 else 1
        for blocks in stages.values():
            for block in blocks[::shifted_every]:
                block.conv1 = TemporalShift(block.conv1)
    layers = OrderedDict[str, nn.Module](
        conv1=_convolution(in_channels, WIDTHS[0], 7, 2),
        bn1=FrameBatchNorm2d(WIDTHS[0]),
        relu=nn.ReLU(inplace=True),
        maxpool=FrameMaxPool2d(kernel_size=3, stride=2, padding=1),
        **{name: nn.Sequential(*blocks) for name, blocks in stages.items()},
    )
    return TemporalSegmentNetwork(nn.Sequential(layers), depth.channels, num_classes)


@KEY_LAYOUT.register(name="2D ResNet")
def to_temporal_segments(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the weights of a 2D ResNet of torchvision for TSN or TSM, TSN's for TSM, or TSM's for TSN.

    They differ in the names of what wraps a layer: ``layer1.0.conv1.weight`` is ``base_model.layer1.0.conv1.weight`` in
    TSN and ``base_model.layer1.0.conv1.net.weight`` in TSM; ``fc`` is ``new_fc``.
    """
    if "base_model.layer1.0.bn1.weight" not in own or "new_fc.weight" not in own:
        return None
    places = {_unwrapped(name): name for name in own}
    renamed = {places.get(_unwrapped(name), name): value for name, value in weights.items()}
    if "base_model.layer1.0.bn1.weight" not in renamed or renamed.keys() == weights.keys():
        return None
    return renamed


def _unwrapped(name: str) -> str:
    """The name in a plain 2D ResNet."""
    return name.removeprefix("base_model.").removeprefix("new_").replace(".net.", ".")


def _register(depth: int, imagenet: str) -> None:
    """TSN and TSM of a depth; ``imagenet`` is the address of torchvision's weights for images, which serve both."""
    for name, shift in ((f"tsn_r{depth}", False), (f"tsm_r{depth}", True)):
        model = ZooModel(
            zoo="classic_models",
            build=partial(build_temporal_segments, DEPTHS[depth], shift=shift),
            # 8 frames over the video; with the sampling "tsm_dense", 8 of 64 frames.
            clip_spec=ClipSpec(
                num_frames=8,
                sampling_rate=8,
                crop_size=224,
                test_crop_size=224,
                short_side=256,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                sampling="tsn",
            ),
            head="new_fc",
            weights={**_PUBLISHED.get(name, {}), "imagenet": Weights(url=imagenet, num_classes=1000)},
        )
        MODEL.register(model, name=name)


def _register_on_flow(name: str) -> None:
    """The twin of a model on RGB, which can start from the same weights for images."""
    rgb: ZooModel = MODEL.get(name)
    flow = replace(
        rgb,
        build=partial(rgb.build, in_channels=2),
        clip_spec=on_flow(rgb.clip_spec),
        pathways=flow_channels,
        weights={"imagenet": rgb.weights["imagenet"]},
    )
    MODEL.register(flow, name=f"{name}_flow")


def _weights(num_classes: int, file: str, top1: float, **clips: object) -> Weights:
    return Weights(url=f"{_ADDRESS}/TSM_{file}.pth", num_classes=num_classes, top1=top1, clips=clips)


_kinetics, _something = partial(_weights, 400), partial(_weights, 174)

# Accuracies are those of several views: 10 clips for "dense" weights and TSN, 10 crops for "uniform" ones, 2 clips of
# whole frames for Something-Something. "16": trained on 16 frames.
_PUBLISHED = {
    "tsn_r50": {"kinetics400": _kinetics("kinetics_RGB_resnet50_avg_segment5_e50", 70.6)},
    "tsm_r50": {
        "kinetics400": _kinetics(
            "kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense", 74.1, sampling="tsm_dense"
        ),
        "kinetics400_uniform": _kinetics("kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50", 72.8),
        "kinetics400_uniform_16": _kinetics(
            "kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50", 73.7, num_frames=16
        ),
        "something_v1": _something("something_RGB_resnet50_shift8_blockres_avg_segment8_e45", 47.2),
        "something_v1_16": _something("something_RGB_resnet50_shift8_blockres_avg_segment16_e45", 48.4, num_frames=16),
        "something_v2": _something("somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45", 61.2),
        "something_v2_16": _something(
            "somethingv2_RGB_resnet50_shift8_blockres_avg_segment16_e45", 63.1, num_frames=16
        ),
    },
    "tsm_r101": {
        "something_v1": _something("something_RGB_resnet101_shift8_blockres_avg_segment8_e45", 48.7),
        "something_v2": _something("somethingv2_RGB_resnet101_shift8_blockres_avg_segment8_e45", 63.3),
    },
}

_register(18, ResNet18_Weights.IMAGENET1K_V1.url)
_register(34, ResNet34_Weights.IMAGENET1K_V1.url)
_register(50, ResNet50_Weights.IMAGENET1K_V1.url)
_register(101, ResNet101_Weights.IMAGENET1K_V1.url)
for _name in ("tsn_r18", "tsm_r18", "tsn_r50", "tsm_r50"):
    _register_on_flow(_name)
