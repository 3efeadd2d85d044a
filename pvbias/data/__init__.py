"""From lists to samples: annotations, records, temporal sampling, transforms, loaders."""

from . import flow, masks  # noqa: F401 (the entries of TRACK)
from .bad_videos import BadVideo, BadVideoLog, forget
from .fingerprints import attributes_fingerprint, fingerprint, list_fingerprints, set_fingerprints, video_key
from .loader import TestLoader, TrainLoader, build_test_loader, build_train_loader
from .lookup import look_up
from .record_list import MadeRecords, RecordList, RecordSubset, field_of
from .records import VideoRecord, VideoSource
from .sample import TestVideo, TrainBatch
from .source import VideoFiles, build_source, count_classes
from .streams import build_stream, choose_streams
from .tracks import Track, VideoTrack
from .views import BadViewsError, Views

__all__ = [
    "BadVideo",
    "BadVideoLog",
    "BadViewsError",
    "MadeRecords",
    "RecordList",
    "RecordSubset",
    "TestLoader",
    "TestVideo",
    "Track",
    "TrainBatch",
    "TrainLoader",
    "VideoFiles",
    "VideoRecord",
    "VideoSource",
    "VideoTrack",
    "Views",
    "attributes_fingerprint",
    "build_source",
    "build_stream",
    "build_test_loader",
    "build_train_loader",
    "choose_streams",
    "count_classes",
    "field_of",
    "fingerprint",
    "forget",
    "list_fingerprints",
    "look_up",
    "set_fingerprints",
    "video_key",
]
