"""Building of PyTorchVideo's models for clips of the configured size.

PyTorchVideo's own functions build the modules, so that a state dict of theirs fits with ``strict=True``. What is
changed has no weights:

- the head's activation is left out: X3D and R(2+1)D end in a Softmax there, and pvbias works with logits;
- the head's pooling window, which the hub fixes for its own clip size, is set for the size of the training clips. A
  larger test crop is then evaluated densely: the window slides over it and the logits of all positions are averaged.
  (The hub's X3D and R(2+1)D average the positions' probabilities instead.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from pvbias.errors import ConfigError

#: Every convolutional model of the hub halves the frame five times.
SPATIAL_STRIDE = 32

#: A function of ``pytorchvideo.models.hub`` or one of the ``create_*`` behind it, its other options filled in. Its
#: modules are not typed further than nn.Module.
Creator = Callable[..., Any]


def build_resnet(
    create: Creator,
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    frames_at_head: Callable[[int], int],
    spatial_stride: int = SPATIAL_STRIDE,
) -> nn.Module:
    """Build C2D, I3D, Slow, CSN or R(2+1)D: one pathway, a pooling window in the head.

    Args:
        create: PyTorchVideo's function; messages name the model by its ``__name__``.
        num_classes: K.
        num_frames, crop_size: of the training clips; the crop in pixels.
        frames_at_head: how many frames of a clip are left at the head.
        spatial_stride: how many times smaller the frame is there.

    Raises:
        ConfigError: none is.
    """
    frames = frames_at_head(num_frames)
    if frames < 1:
        fewest = next(n for n in itertools.count(num_frames + 1) if frames_at_head(n) >= 1)
        raise ConfigError(
            f"DATA.NUM_FRAMES = {num_frames}: {create.__name__} pools over time and needs at least {fewest}."
        )
    module = create(model_num_class=num_classes, head_activation=None)
    module.blocks[-1].pool = _window(frames, crop_size, spatial_stride)
    return module


def build_x3d(create: Creator, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """Build X3D, whose head pools between two convolutions. Arguments as in :func:`build_resnet`."""
    module = create(model_num_class=num_classes, head_activation=None)
    module.blocks[-1].pool.pool = _window(num_frames, crop_size)
    return module


def build_slowfast(
    create: Creator,
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    alpha: int,
    spatial_stride: int = SPATIAL_STRIDE,
) -> nn.Module:
    """Build SlowFast, with one pooling window for each pathway. Arguments as in :func:`build_resnet`.

    Args:
        alpha: the fast pathway has this many times the frames of the slow one.

    Raises:
        ConfigError: the frames cannot be divided between the pathways.
    """
    if num_frames % alpha:
        raise ConfigError(
            f"DATA.NUM_FRAMES = {num_frames}: {create.__name__} needs a multiple of {alpha}, "
            f"since its slow pathway takes every {alpha}th frame of its fast one."
        )
    module = create(model_num_class=num_classes, head_activation=None)
    windows = (_window(frames, crop_size, spatial_stride) for frames in (num_frames // alpha, num_frames))
    module.blocks[-2].pool = nn.ModuleList(windows)
    return module


def build_mvit(
    create: Creator,
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    patch: Sequence[int] = (2, 4, 4),
) -> nn.Module:
    """Build MViT, whose positional embedding belongs to one clip size. Arguments as in :func:`build_resnet`.

    Another size than the checkpoint's leaves that embedding at its initial value; loading says so.

    Args:
        patch: what is embedded as one: frames, rows and columns of pixels.

    Raises:
        ConfigError: the clip cannot be cut into such patches.
    """
    frames, height, width = patch
    if num_frames % frames:
        number = "an even number of" if frames == 2 else f"a multiple of {frames}"
        raise ConfigError(f"DATA.NUM_FRAMES = {num_frames}: {create.__name__} needs {number} frames.")
    if crop_size % height or crop_size % width:
        raise ConfigError(
            f"DATA.TRAIN_CROP_SIZE = {crop_size}: {create.__name__} cuts frames into patches of {height} x {width} "
            f"pixels and needs a multiple of {math.lcm(height, width)}."
        )
    return create(head_num_classes=num_classes, spatial_size=crop_size, temporal_size=num_frames)


def pooled_by(stride: int) -> Callable[[int], int]:
    """Frames left by an unpadded pooling of that stride: rounded down."""
    return lambda num_frames: num_frames // stride


def convolved_by(stride: int) -> Callable[[int], int]:
    """Frames left by padded convolutions of that stride, all in all: rounded up."""
    return lambda num_frames: math.ceil(num_frames / stride)


def _window(frames: int, crop_size: int, spatial_stride: int = SPATIAL_STRIDE) -> nn.AvgPool3d:
    side = math.ceil(crop_size / spatial_stride)
    return nn.AvgPool3d((frames, side, side), stride=1)
