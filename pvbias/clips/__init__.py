"""Clips: their specification, modulations, and packing into pathways.

A clip is one tensor ``(N, C, T, H, W)``, RGB, or optical flow behind it or in its place (:attr:`.ClipSpec.modality`):
uint8 from the loader, float in [0, 1] on the device.
"""

from .mirror import Mirror
from .modulations import (
    ORIGINAL,
    Modulation,
    Rearrangement,
    TrackModulation,
    gather_frames,
    modulation,
    modulation_label,
    parameter,
    view_seeds,
)
from .pathways import Pathways, single_pathway, slow_fast_pathways
from .rearrangements import FREEZE_FRAMES, Freeze, Reverse, Shuffle, ShuffleWithin, Subsample, shuffled_order
from .spec import ClipSpec

__all__ = [
    "FREEZE_FRAMES",
    "ORIGINAL",
    "ClipSpec",
    "Freeze",
    "Mirror",
    "Modulation",
    "Pathways",
    "Rearrangement",
    "Reverse",
    "Shuffle",
    "ShuffleWithin",
    "Subsample",
    "TrackModulation",
    "gather_frames",
    "modulation",
    "modulation_label",
    "parameter",
    "shuffled_order",
    "single_pathway",
    "slow_fast_pathways",
    "view_seeds",
]
