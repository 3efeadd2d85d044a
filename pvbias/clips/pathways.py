"""Packing of a clip tensor into the input of a module's ``forward``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: ``pack(clip (N, C, T, H, W)) -> the module's input`` (a tensor, or a list of tensors, one for each pathway).
Pathways = Callable[[Tensor], "Tensor | list[Tensor]"]


def single_pathway(clip: Tensor) -> Tensor:
    """Return the clip unchanged."""
    return clip


def slow_fast_pathways(*, alpha: int) -> Pathways:
    """Make a function that packs clips into SlowFast's pathways: ``[slow (N, C, T // alpha, H, W), fast (N, C, T, H,
    W)]``.

    The slow pathway takes ``T // alpha`` frames spread evenly from the first to the last, as in SlowFast's
    ``pack_pathway_output``.

    Args:
        alpha: frame-rate ratio between the pathways, >= 1.
    """

    def pack(clip: Tensor) -> list[Tensor]:
        num_frames = clip.shape[2]
        slow = torch.linspace(0, num_frames - 1, max(num_frames // alpha, 1)).long().tolist()
        # Slices joined, since indexing would not keep channels_last_3d.
        return [torch.cat([clip[:, :, frame : frame + 1] for frame in slow], dim=2), clip]

    return pack
