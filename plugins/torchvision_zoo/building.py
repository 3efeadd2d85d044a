"""Building of torchvision's video classifiers for clips of the configured size.

torchvision's own functions build the modules, so that a state dict of theirs fits with ``strict=True``. All of them
return logits. What depends on the clip's size is set afterwards: S3D's pooling window, and MViT's positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from pvbias.errors import ConfigError

#: A function of ``torchvision.models.video``; its modules are not typed further than nn.Module.
VideoBuilder = Callable[..., Any]

#: Frames of S3D's own pooling window; more frames than that at the head are averaged over all its positions.
S3D_WINDOW_FRAMES = 2


def build_any_size(video_builder: VideoBuilder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """Build the ResNets, which pool over all that is left, and Swin, which also pads what it cannot divide.

    Args:
        video_builder: function of ``torchvision.models.video``.
        num_classes: K.
        num_frames, crop_size: of the training clips, the crop in pixels; the module does not depend on them.
    """
    return video_builder(num_classes=num_classes)


def build_s3d(video_builder: VideoBuilder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """Build S3D, whose pooling window torchvision fixes for crops of 224. Arguments as in :func:`build_any_size`.

    Raises:
        ConfigError: nothing is left of the clip at the head.
    """
    # Two paddings that round up and one pooling that rounds down; in space, four and one.
    frames, side = math.ceil(num_frames / 4) // 2, math.ceil(crop_size / 16) // 2
    if frames < 1:
        raise ConfigError(f"DATA.NUM_FRAMES = {num_frames}: S3D pools over time and needs at least 5.")
    if side < 1:
        raise ConfigError(f"DATA.TRAIN_CROP_SIZE = {crop_size}: S3D halves frames five times and needs at least 17.")
    module = video_builder(num_classes=num_classes)
    module.avgpool = nn.AvgPool3d((min(frames, S3D_WINDOW_FRAMES), side, side), stride=1)
    return module


def build_mvit(video_builder: VideoBuilder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """Build MViT, which counts its patches when it is built. Arguments as in :func:`build_any_size`.

    MViTv1 has one embedding for each position: for another clip than the checkpoint's those that do not fit start anew,
    and loading says so. MViTv2 has tables of relative positions, which torchvision interpolates to the clip at each
    forward: they keep the length that they have in the checkpoint, and all of it is loaded.
    """
    module = video_builder(num_classes=num_classes)
    # The convolution that cuts patches pads by half its kernel, which rounds up.
    positions = module.pos_encoding
    _, height, width = module.conv_proj.stride
    positions.temporal_size = math.ceil(num_frames / module.conv_proj.stride[0])
    positions.spatial_size = (math.ceil(crop_size / height), math.ceil(crop_size / width))
    for name, length in (("temporal_pos", positions.temporal_size), ("spatial_pos", math.prod(positions.spatial_size))):
        embedding = getattr(positions, name)
        if embedding is not None and len(embedding) != length:
            anew = nn.Parameter(embedding.new_empty(length, embedding.shape[1]))
            setattr(positions, name, nn.init.trunc_normal_(anew, std=0.02))
    return module
