"""Pooling of a layer's output over space and time, for convolutions and for transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError

#: What is averaged: all positions; those of space, so that time is left; none.
POOLINGS = ("all", "space", "none")


def pool(value: Any, pooling: str, *, num_frames: int, layer: str = "") -> Tensor:
    """Average a layer's output over positions.

    ::

        vectors (V, D)                                  -> (V, D)
        maps (V, D, T, H, W), or Swin's (V, T, H, W, D) -> all: (V, D), space: (V, T, D), none: (V, T, H, W, D)
        tokens (V, L, D), a class token among them      -> all: (V, D), none: (V, L, D)
        several of these (the pathways of SlowFast)     -> all: side by side (V, D + D')

    The channels are last whatever they were before, so that tokens are ``(V, -1, D)``. Which dimension has them is told
    by the sizes: maps are square, and as long as the clip at most.

    Args:
        value: the output: a tensor, or a list or tuple of tensors and plain values.
        pooling: of :data:`POOLINGS`.
        num_frames: of the clips.
        layer: its name, for messages.

    Raises:
        ConfigError: the sizes do not tell what the dimensions are, or there is no such pooling of these.
    """
    tensors = [value] if isinstance(value, Tensor) else [item for item in value if isinstance(item, Tensor)]
    parts = [_pool_one(tensor, pooling, num_frames, layer) for tensor in tensors]
    if len(parts) == 1:
        return parts[0]
    if pooling == "all" and isinstance(value, list):
        return torch.cat(parts, 1)
    raise ConfigError(
        f"The layer {layer!r} gives {len(tensors)} tensors, {_sizes(*tensors)}, which do not make one array "
        f"with FEATURES.POOL = {pooling!r}. Name a module that gives one tensor, such as a part of this one."
    )


def _pool_one(tensor: Tensor, pooling: str, num_frames: int, layer: str) -> Tensor:
    if tensor.dim() == 2:
        return tensor
    if tensor.dim() == 3 and tensor.shape[2] > num_frames:  # and not (V, D, T)
        if pooling == "space":
            raise ConfigError(
                f"FEATURES.POOL = 'space': {layer!r} gives tokens, {_sizes(tensor)}, and which of them belong together "
                "in time is not known. Take 'all' or 'none'."
            )
        return tensor.mean(1) if pooling == "all" else tensor
    if tensor.dim() == 5:
        first, last = _are_maps(tensor.shape[2:], num_frames), _are_maps(tensor.shape[1:4], num_frames)
        if first != last:
            maps = tensor.permute(0, 2, 3, 4, 1) if first else tensor
            over = {"all": (1, 2, 3), "space": (2, 3), "none": ()}[pooling]
            return maps.mean(over) if over else maps
    raise ConfigError(
        f"The layer {layer!r} gives {_sizes(tensor)}, and what the dimensions are is not known: neither "
        "vectors (V, D), nor maps (V, D, T, H, W) or (V, T, H, W, D) with H = W, nor tokens (V, L, D). Name another "
        "module, such as the one before or after it."
    )


def _are_maps(size: torch.Size, num_frames: int) -> bool:
    """Whether (T, H, W) may be that of maps."""
    return size[0] <= num_frames and size[1] == size[2]


def _sizes(*tensors: Tensor) -> str:
    return ", ".join(f"({', '.join(['V', *map(str, tensor.shape[1:])])})" for tensor in tensors)
