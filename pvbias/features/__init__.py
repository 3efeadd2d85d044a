"""Features of videos on disk: extracted once by a network, read back as memory maps."""

from .array import FeatureArray
from .comparing import check_same_classes, check_same_network, check_same_videos
from .folder import LOGITS, Features, Fingerprint, read_features, write_features

__all__ = [
    "LOGITS",
    "FeatureArray",
    "Features",
    "Fingerprint",
    "check_same_classes",
    "check_same_network",
    "check_same_videos",
    "read_features",
    "write_features",
]
