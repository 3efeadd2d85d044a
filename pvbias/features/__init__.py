"""Features of videos on disk: extracted once by a network, read back as memory maps."""

from .array import FeatureArray
from .comparing import check_same_classes, check_same_network, check_same_videos
from .duplicates import NearDuplicates, find_duplicates
from .folder import LOGITS, Features, Fingerprint, read_features, write_features
from .label_noise import LabelNoise, find_label_noise

__all__ = [
    "LOGITS",
    "FeatureArray",
    "Features",
    "Fingerprint",
    "LabelNoise",
    "NearDuplicates",
    "check_same_classes",
    "check_same_network",
    "check_same_videos",
    "find_duplicates",
    "find_label_noise",
    "read_features",
    "write_features",
]
