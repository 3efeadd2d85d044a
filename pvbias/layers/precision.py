"""The number format that a layer computes in."""

from __future__ import annotations

import torch
from torch import Tensor


def computed_dtype(x: Tensor) -> torch.dtype:
    """That in which convolutions and matrix products of a tensor are computed: autocast's where it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
