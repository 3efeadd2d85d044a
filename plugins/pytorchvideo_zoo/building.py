"""Building hub models for the clips at hand.

The hub's own functions build the modules, so that a state dict of theirs fits with ``strict=True``. What is changed
has no weights:

- the head's activation is left out: X3D and R(2+1)D end in a Softmax there, and pvbias works with logits;
- the head's pooling window, which the hub fixes for its own clip size, is set for the size of the training clips. A
  larger test crop is then evaluated densely: the window slides over it and the logits of all positions are averaged.
  (The hub's X3D and R(2+1)D average the positions' probabilities instead.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from torch import nn

from pvbias.errors import ConfigError

#: Every convolutional model of the hub halves the frame five times.
SPATIAL_STRIDE = 32

#: A function of ``pytorchvideo.models.hub``; its modules are not typed further than nn.Module.
HubBuilder = Callable[..., Any]


def build_resnet(
    hub_builder: HubBuilder,
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    frames_at_head: Callable[[int], int],
) -> nn.Module:
    """C2D, I3D, Slow, CSN and R(2+1)D: one pathway, a pooling window in the head.

    Args:
        hub_builder: function of ``pytorchvideo.models.hub``.
        num_classes: K.
        num_frames, crop_size: of the training clips; the crop in pixels.
        frames_at_head: how many frames of a clip are left at the head.

    Raises:
        ConfigError: none is.
    """
    frames = frames_at_head(num_frames)
    if frames < 1:
        fewest = next(n for n in itertools.count(num_frames + 1) if frames_at_head(n) >= 1)
        raise ConfigError(
            f"DATA.NUM_FRAMES = {num_frames}: {hub_builder.__name__} pools over time and needs at least {fewest}."
        )
    module = hub_builder(model_num_class=num_classes, head_activation=None)
    module.blocks[-1].pool = _window(frames, crop_size)
    return module


def build_x3d(hub_builder: HubBuilder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """X3D: its head pools between two convolutions. Arguments as in :func:`build_resnet`."""
    module = hub_builder(model_num_class=num_classes, head_activation=None)
    module.blocks[-1].pool.pool = _window(num_frames, crop_size)
    return module


def build_slowfast(
    hub_builder: HubBuilder, *, num_classes: int, num_frames: int, crop_size: int, alpha: int
) -> nn.Module:
    """SlowFast: one window for each pathway, before they are joined. Arguments as in :func:`build_resnet`.

    Args:
        alpha: the fast pathway has this many times the frames of the slow one.

    Raises:
        ConfigError: the frames cannot be divided between the pathways.
    """
    if num_frames % alpha:
        raise ConfigError(
            f"DATA.NUM_FRAMES = {num_frames}: {hub_builder.__name__} needs a multiple of {alpha}, "
            f"since its slow pathway takes every {alpha}th frame of its fast one."
        )
    module = hub_builder(model_num_class=num_classes, head_activation=None)
    windows = (_window(num_frames // alpha, crop_size), _window(num_frames, crop_size))
    module.blocks[-2].pool = nn.ModuleList(windows)
    return module


def build_mvit(hub_builder: HubBuilder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """MViT, whose positional embedding belongs to one clip size. Arguments as in :func:`build_resnet`.

    Another size than the checkpoint's leaves that embedding at its initial value; loading says so.

    Raises:
        ConfigError: the clip cannot be cut into patches of 2 frames x 4 x 4 pixels.
    """
    if num_frames % 2:
        raise ConfigError(f"DATA.NUM_FRAMES = {num_frames}: {hub_builder.__name__} needs an even number of frames.")
    if crop_size % 4:
        raise ConfigError(
            f"DATA.TRAIN_CROP_SIZE = {crop_size}: {hub_builder.__name__} cuts frames into patches of 4 x 4 pixels "
            "and needs a multiple of 4."
        )
    return hub_builder(head_num_classes=num_classes, spatial_size=crop_size, temporal_size=num_frames)


def pooled_by(stride: int) -> Callable[[int], int]:
    """Frames left by an unpadded pooling of that stride: rounded down."""
    return lambda num_frames: num_frames // stride


def convolved_by(stride: int) -> Callable[[int], int]:
    """Frames left by padded convolutions of that stride, all in all: rounded up."""
    return lambda num_frames: math.ceil(num_frames / stride)


def _window(frames: int, crop_size: int) -> nn.AvgPool3d:
    side = math.ceil(crop_size / SPATIAL_STRIDE)
    return nn.AvgPool3d((frames, side, side), stride=1)
