"""From bytes to frames: containers, packets, decoding, resizing, frame folders."""

from .content import content_fingerprint
from .resizing import resize_frames
from .video import BadVideoError, FrameSize, Video, frames_shown

__all__ = ["BadVideoError", "FrameSize", "Video", "content_fingerprint", "frames_shown", "resize_frames"]
