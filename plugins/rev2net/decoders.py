"""Decoders from a recognizer's feature map to the clip's optical flow and to its frames in reversed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.errors import ConfigError
from pvbias.registries import DECODER

#: What decoders can make up for: how many times smaller than the clip a feature map is, in space and in time.
SPATIAL_FACTORS, TEMPORAL_FACTORS = (2, 4, 8, 16), (1, 2, 4)

#: In time and in space.
_Factor = tuple[int, int]


class Decoded(NamedTuple):
    """The output of a decoder.

    Attributes:
        prediction: ``(N, C, T, H, W)``.
        hidden: what the low-level penalty compares: features ``(N, D, t, h, w)`` of one layer after another, in the
            order of the clip's frames. Those of a flow and a frame decoder that were built alike have equal shapes.
    """

    prediction: Tensor
    hidden: tuple[Tensor, ...]


class FlowDecoder(nn.Module):
    """Two transposed convolutions from a feature map to optical flow.

    ::

        features (N, D, t, h, w) -> ConvTranspose3d, BatchNorm, ReLU: hidden
          -> ConvTranspose3d -> flow (N, 2, T, H, W)

    Without BatchNorm, which the paper does not mention, the low-level penalty is soon zero in the wrong way: the hidden
    features of both decoders die.

    Args:
        features: D.
        factor: T / t, H / h = W / w.
        channels: of the hidden features.
    """

    def __init__(self, features: int, *, factor: _Factor, channels: int) -> None:
        super().__init__()
        first, rest = _split(factor)
        self.first = _enlarge(features, channels, first)
        self.norm = nn.BatchNorm3d(channels)
        self.last = _enlarge(channels, 2, rest)

    def forward(self, features: Tensor) -> Decoded:
        """Decode flow in pixels, to the right and down."""
        hidden = self.norm(self.first(features)).relu()
        return Decoded(self.last(hidden), (hidden,))


class FrameDecoder(nn.Module):
    """Three transposed convolutions from a feature map to the clip's frames in reversed order, a moving foreground on
    a still background.

    ::

        features (N, D, t, h, w), last frame first
          -> ConvTranspose3d, BatchNorm, ReLU: hidden
          -> ConvTranspose3d, BatchNorm, ReLU -+-> ConvTranspose3d -> foreground f, mask m
                                               +-> mean over time -> Conv3d -> background b
          -> m * f + (1 - m) * b    (N, 3, T, H, W) in [0, 1], last frame first

    f, m and b each end in a sigmoid; b is one image for the whole clip.

    Convolutions act on a neighbourhood, so they cannot bring what they see in one frame to the other end of the clip;
    the paper does not say what does. Here the decoder reads the feature map backwards. A convolution that reads and
    writes backwards is one with the mirrored kernel that does neither: reversing by itself makes the task no harder
    for the encoder.

    Args:
        features: D.
        factor: T / t, H / h = W / w.
        channels: of the hidden features and of those after them.
        flip: read the feature map backwards; without it, in the clip's own order (``REV2NET.FLIP``).
    """

    def __init__(self, features: int, *, factor: _Factor, channels: tuple[int, int], flip: bool = True) -> None:
        super().__init__()
        first, (time, space) = _split(factor)
        middle = (time, space // 2)
        self.flip = flip
        self.first = _enlarge(features, channels[0], first)
        self.norm = nn.BatchNorm3d(channels[0])
        self.middle = _enlarge(channels[0], channels[1], middle)
        self.middle_norm = nn.BatchNorm3d(channels[1])
        self.last = _enlarge(channels[1], 4, (1, space // middle[1]))
        self.background = nn.Conv3d(channels[1], 3, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, features: Tensor) -> Decoded:
        """Decode frames in [0, 1], last frame first; the hidden features are in the clip's own order."""
        hidden = self.norm(self.first(features.flip(2) if self.flip else features)).relu()
        moving = self.middle_norm(self.middle(hidden)).relu()
        foreground, mask = self.last(moving).sigmoid().split((3, 1), dim=1)
        still = F.interpolate(moving.mean(2), size=foreground.shape[-2:], mode="bilinear")
        background = self.background(still[:, :, None]).sigmoid()
        # b + m (f - b), which is m f + (1 - m) b with one map of the clip's size less
        compared = hidden.flip(2) if self.flip else hidden
        return Decoded(torch.addcmul(background, mask, foreground - background), (compared,))


@DECODER.register(name="rev2net_flow")
def build_flow_decoder(cfg: CfgNode, feature_shape: Sequence[int], clip_shape: Sequence[int]) -> FlowDecoder:
    """Build the :class:`FlowDecoder` that ``REV2NET`` describes.

    Args:
        cfg: a configuration.
        feature_shape: ``(D, t, h, w)`` of the feature maps.
        clip_shape: ``(C, T, H, W)`` of the clips; factors as in :data:`SPATIAL_FACTORS`, :data:`TEMPORAL_FACTORS`.
    """
    return FlowDecoder(
        feature_shape[0], factor=factor_between(feature_shape, clip_shape), channels=cfg.REV2NET.CHANNELS[0]
    )


@DECODER.register(name="rev2net_frames")
def build_frame_decoder(cfg: CfgNode, feature_shape: Sequence[int], clip_shape: Sequence[int]) -> FrameDecoder:
    """Build the :class:`FrameDecoder` that ``REV2NET`` describes; arguments as for :func:`build_flow_decoder`."""
    return FrameDecoder(
        feature_shape[0],
        factor=factor_between(feature_shape, clip_shape),
        channels=tuple(cfg.REV2NET.CHANNELS),
        flip=cfg.REV2NET.FLIP,
    )


def factor_between(feature_shape: Sequence[int], clip_shape: Sequence[int]) -> _Factor:
    """The factors by which a clip ``(C, T, H, W)`` is larger than a feature map ``(D, t, h, w)``, in time and in space.

    Raises:
        ConfigError: not evenly, not by the same in height and width, or by what decoders cannot make up for.
    """
    (*_, t, h, w), (*_, frames, height, width) = feature_shape, clip_shape
    time, space = frames // max(t, 1), height // max(h, 1)
    sizes_agree = (t * time, h * space, w * space) == (frames, height, width)
    if not sizes_agree or time not in TEMPORAL_FACTORS or space not in SPATIAL_FACTORS:
        raise ConfigError(
            f"Clips {tuple(clip_shape)} (C, T, H, W) cannot be decoded from feature maps {tuple(feature_shape)} "
            f"(D, t, h, w): decoders enlarge by {choice(TEMPORAL_FACTORS)} in time, by {choice(SPATIAL_FACTORS)} in "
            "height and width."
        )
    return time, space


def choice(values: Sequence[int]) -> str:
    """``1, 2 or 4``."""
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


def _split(factor: _Factor) -> tuple[_Factor, _Factor]:
    """Split the factor between the first layer, which both decoders have, and the others.

    As little as possible in time: it sees the most channels.
    """
    time, space = factor
    first = (2 if time == 4 else 1, 1 if space == 2 else 2)
    return first, (time // first[0], space // first[1])


def _enlarge(in_channels: int, out_channels: int, factor: _Factor) -> nn.ConvTranspose3d:
    """A transposed convolution that makes a map exactly ``factor`` times larger; each output sees two inputs along a
    dimension that grows, three frames and one pixel where it does not."""
    time, space = factor
    kernel = (2 * time if time > 1 else 3, 2 * space if space > 1 else 1)
    padding = [(size - step) // 2 for size, step in zip(kernel, factor, strict=True)]
    return nn.ConvTranspose3d(
        in_channels,
        out_channels,
        (kernel[0], kernel[1], kernel[1]),
        stride=(time, space, space),
        padding=(padding[0], padding[1], padding[1]),
    )
