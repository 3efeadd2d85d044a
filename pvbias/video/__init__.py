"""From bytes to frames: containers, packets, decoding, resizing, frame folders."""

from .content import content_fingerprint
from .video import BadVideoError, FrameSize, Video

__all__ = ["BadVideoError", "FrameSize", "Video", "content_fingerprint"]
