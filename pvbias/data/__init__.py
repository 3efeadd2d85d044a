"""From lists to samples: annotations, records, temporal sampling, transforms, loaders."""

from .bad_videos import BadVideo, BadVideoLog, forget
from .dataset import TestVideo, TrainBatch
from .loader import TestLoader, TrainLoader, build_test_loader, build_train_loader
from .lookup import look_up
from .records import VideoRecord, VideoSource
from .source import (
    VideoFiles,
    build_source,
    count_classes,
    fingerprint,
    list_fingerprints,
    set_fingerprints,
    video_key,
)

__all__ = [
    "BadVideo",
    "BadVideoLog",
    "TestLoader",
    "TestVideo",
    "TrainBatch",
    "TrainLoader",
    "VideoFiles",
    "VideoRecord",
    "VideoSource",
    "build_source",
    "build_test_loader",
    "build_train_loader",
    "count_classes",
    "fingerprint",
    "forget",
    "list_fingerprints",
    "look_up",
    "set_fingerprints",
    "video_key",
]
