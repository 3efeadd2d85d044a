"""Packing of clips that are not RGB: optical flow and grey values."""

from __future__ import annotations

from torch import Tensor

from pvbias.clips import ClipSpec
from pvbias.video.flow_coding import CODED_MEAN, CODED_STD


def on_flow(clips: ClipSpec) -> ClipSpec:
    """The specification of clips of optical flow that are sampled and cropped as RGB ones."""
    return clips.replace(modality="flow", mean=(CODED_MEAN,) * 3, std=(CODED_STD,) * 3)


def flow_channels(clip: Tensor) -> Tensor:
    """The two channels of coded flow, without the third, which is constant: ``(N, 3, T, H, W) -> (N, 2, T, H, W)``."""
    return clip[:, :2]


def grey_channel(clip: Tensor) -> Tensor:
    """The mean over RGB: ``(N, 3, T, H, W) -> (N, 1, T, H, W)``."""
    return clip.mean(1, keepdim=True)
