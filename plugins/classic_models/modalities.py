"""Clips that are not RGB: what of a clip's three channels goes into a network on optical flow, or on grey values."""

from __future__ import annotations

from torch import Tensor

from pvbias.clips import ClipSpec
from pvbias.video.flow_coding import CODED_MEAN, CODED_STD


def on_flow(clips: ClipSpec) -> ClipSpec:
    """Clips of optical flow, sampled and cropped as these."""
    return clips.replace(modality="flow", mean=(CODED_MEAN,) * 3, std=(CODED_STD,) * 3)


def flow_channels(clip: Tensor) -> Tensor:
    """Flow to the right and down of coded flow, whose third channel says nothing: ``(N, 3, T, H, W) -> (N, 2, T, H,
    W)``."""
    return clip[:, :2]


def grey_channel(clip: Tensor) -> Tensor:
    """The mean over RGB: ``(N, 3, T, H, W) -> (N, 1, T, H, W)``."""
    return clip.mean(1, keepdim=True)
