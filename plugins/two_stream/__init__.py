"""Two-stream networks: one model on RGB and one on stacked optical flow, fused into one classifier."""

from .family import FAMILY
from .joining import join
from .network import TwoStreamNetwork

__all__ = ["FAMILY", "TwoStreamNetwork", "join"]
