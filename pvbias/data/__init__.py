"""From files to clips: annotations, decoding, temporal sampling, transforms, loaders."""

from .video import BadVideoError, FrameSize, Video, VideoRecord, VideoSource

__all__ = ["BadVideoError", "FrameSize", "Video", "VideoRecord", "VideoSource"]
