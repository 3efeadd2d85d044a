"""From files to clips: annotations, decoding, temporal sampling, transforms, loaders."""

from .bad_videos import BadVideo, BadVideoLog, forget
from .content import content_fingerprint
from .dataset import TestVideo, TrainBatch
from .loader import TestLoader, TrainLoader, build_test_loader, build_train_loader
from .lookup import look_up
from .source import (
    VideoFiles,
    build_source,
    count_classes,
    fingerprint,
    list_fingerprints,
    set_fingerprints,
    video_key,
)
from .video import BadVideoError, FrameSize, Video, VideoRecord, VideoSource

__all__ = [
    "BadVideo",
    "BadVideoError",
    "BadVideoLog",
    "FrameSize",
    "TestLoader",
    "TestVideo",
    "TrainBatch",
    "TrainLoader",
    "Video",
    "VideoFiles",
    "VideoRecord",
    "VideoSource",
    "build_source",
    "build_test_loader",
    "build_train_loader",
    "content_fingerprint",
    "count_classes",
    "fingerprint",
    "forget",
    "list_fingerprints",
    "look_up",
    "set_fingerprints",
    "video_key",
]
