"""What a clip is: its specification, its modulations, its packing into pathways.

A clip is one tensor ``(N, C, T, H, W)``, RGB: uint8 from the loader, float in [0, 1] on the device.
"""

from .modulations import ORIGINAL, Modulation, Rearrangement, gather_frames, shuffled_order, view_seeds
from .pathways import Pathways, single_pathway, slow_fast_pathways
from .spec import ClipSpec

__all__ = [
    "ORIGINAL",
    "ClipSpec",
    "Modulation",
    "Pathways",
    "Rearrangement",
    "gather_frames",
    "shuffled_order",
    "single_pathway",
    "slow_fast_pathways",
    "view_seeds",
]
