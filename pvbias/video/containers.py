"""Opening and demuxing of video files with PyAV, past damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from .file_contents import why_unreadable
from .video import BadVideoError

#: Metadata need not be UTF-8. PyAV 17 and 18 have to be told so; 19 knows, and has no such argument any more.
_OF_THIS_PYAV: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}

#: Options of a decoder that reports damage.
STRICT = {"err_detect": "explode"}

#: FFmpeg's AVDISCARD_ALL: packets that are not even read.
_DISCARD_ALL = 48


def open_container(path: str) -> InputContainer:
    """Open a file.

    Raises:
        BadVideoError: it is missing or unreadable.
    """
    if not os.path.exists(path):
        raise BadVideoError("missing", f"there is no file {path}")
    if not os.path.isfile(path):
        raise BadVideoError("unreadable", f"{path} is not a regular file")
    try:
        # Files only: a playlist must not make a training run open network connections.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, **_OF_THIS_PYAV)
    except av.FFmpegError as error:
        raise BadVideoError("unreadable", why_unreadable(path) or error.strerror or str(error)) from error


def video_stream(container: InputContainer, *, strict: bool = False) -> VideoStream:
    """The best video stream, to be decoded on one thread.

    Args:
        container: an opened file.
        strict: the decoder is to report damage, instead of making up for it from what it has decoded before, which
            depends on where decoding began.

    Raises:
        BadVideoError: there is none, or no decoder for it.
    """
    stream = container.streams.best("video")
    if stream is None:
        others = ", ".join(sorted({stream.type for stream in container.streams}))
        raise BadVideoError(
            "no video stream", f"the file holds: {others}" if others else "the file holds no stream at all"
        )
    assert isinstance(stream, VideoStream)
    if stream.disposition & Disposition.attached_pic:
        raise BadVideoError("no video stream", "the file's only picture is a cover image")
    if stream.codec_context is None:
        raise BadVideoError("no decodable frame", "there is no decoder for the video stream")
    # One decoder thread: loader workers are the parallelism, and many threads for few frames cost more than they give.
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    if strict:
        stream.codec_context.options = STRICT
    for other in container.streams:
        if other is not stream and hasattr(other, "discard"):  # from PyAV 18 on; only saves time
            other.discard = _DISCARD_ALL  # type: ignore[assignment]
    return stream


def check_not_encrypted(packet: av.Packet) -> None:
    """Raise BadVideoError where a packet says that it is encrypted: some decoders make noise of that without a word."""
    if packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"):
        raise BadVideoError("encrypted", "the file says that its pictures are encrypted")


def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The packets from here on. A read error ends them, as the end of the file does."""
    try:
        for packet in container.demux(stream):
            if packet.size:  # an empty one would end decoding
                yield packet
    except av.FFmpegError:
        return


def decoded(stream: VideoStream, packet: av.Packet | None) -> Iterator[tuple[av.VideoFrame | None, str]]:
    """Feed a packet to the decoder (None: flush it), and give what comes out as (frame, ""), or (None, complaint) where
    it refuses: one bad packet does not end a video."""
    try:
        frames = stream.codec_context.decode(packet)
    except av.FFmpegError as error:
        yield None, error.strerror or str(error)
    else:
        for frame in frames:
            yield frame, ""


def decode_all(container: InputContainer, stream: VideoStream) -> Iterator[tuple[av.VideoFrame | None, str]]:
    """Decode all packets from here on, and flush the decoder; yields as :func:`decoded`."""
    for packet in chain(demuxed(container, stream), [None]):
        yield from decoded(stream, packet)
