"""Frames of video files at given times: decode only what is needed, survive what is broken."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .packets import PacketIndex, decoded, demuxed, packet_index
from .resizing import Resizer, quarter_turns
from .video import BadVideoError, FrameSize

#: A frame counts as shown at ``t`` when it comes up within this time after it, seconds: containers round times (Matroska to whole
#: milliseconds), and ``i / fps`` must not give the frame before the i-th.
ROUNDING = 1e-3

#: A frame that the decoder cannot give is replaced by its neighbour when that is at most this far away, seconds.
MAX_GAP = 0.5


class FileVideo:
    """A video file opened with PyAV; implements :class:`pvbias.data.Video`.

    One demultiplexing scan (1 ms for a Kinetics video) gives the exact times and key frames, whatever the header claims. A read then
    makes one pass over the file: it seeks to the key frame before a needed frame, decodes up to the last needed frame that builds on
    it, goes on at the next; frames that neither are needed nor serve others as a reference are not decoded. Only needed frames are scaled.
    Where seeking or skipping does not give what the index promises, the file is decoded linearly from its start.

    The best video stream is used, on one thread. Rotation metadata is honoured, mirroring is not.

    Args:
        path: a file.

    Raises:
        BadVideoError: it is missing, unreadable, has no video stream or no frame.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._container = _open(path)
        try:
            self._stream = _video_stream(self._container)
            self._index, read = packet_index(path, self._container, self._stream)
        except BaseException:
            self._container.close()
            raise
        #: The packet that demultiplexing would give next; -1: not known.
        self._next = -1 if read else 0
        self._resizer = Resizer()

    @property
    def timestamps(self) -> np.ndarray:
        """Seconds from the first frame, float64 ``(F,)``, ascending."""
        return self._index.timestamps

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self._index.duration

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The frames shown at ``times``: uint8 RGB ``(len(times), height, width, 3)``; see :class:`pvbias.data.Video`.

        The frame shown at a time is the last one that has come up. A frame that cannot be decoded is replaced by the nearest one within
        ``MAX_GAP``, as players do. The size follows the first decoded frame; should the resolution change, later ones are scaled to it.

        Raises:
            BadVideoError: ``no decodable frame``, or ``decoder error`` with the time of the frame that cannot be had.
        """
        shown = np.searchsorted(self.timestamps, np.asarray(times, float) + ROUNDING, side="right") - 1
        needed, place = np.unique(np.maximum(shown, 0), return_inverse=True)
        images = None if self._index.counted else self._read_groups(needed, size)
        if images is None:
            images = self._read_linear(needed, size)
        return images if np.array_equal(place, np.arange(len(images))) else images[place]

    def close(self) -> None:
        """Give the file handle back."""
        self._container.close()

    def __enter__(self) -> FileVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read_groups(self, needed: np.ndarray, size: FrameSize) -> np.ndarray | None:
        """Frames ``needed``, by way of the index; None when it misses one of them."""
        index = self._index
        images = _Images(self._resizer, size, len(needed))
        slots = {int(index.frame_pts[frame]): slot for slot, frame in enumerate(needed)}
        for start, end in _groups(index, needed):
            for frame in self._frames_between(start, end, slots.keys()):
                slot = slots.get(frame.pts) if frame.pts is not None else None
                if slot is not None and not frame.is_corrupt:
                    images.put(slot, self._checked(frame))
        return images.all() if images.complete else None

    def _frames_between(self, start: int, end: int, wanted: Iterable[int]) -> Iterator[av.VideoFrame]:
        """Frames from feeding packets ``start`` .. ``end`` to the decoder, those for nothing needed left out where possible."""
        wanted = set(wanted)
        context = self._stream.codec_context
        position = start
        for packet in self._packets_from(start):
            # A frame that no other refers to can be left out without changing the others by a bit.
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield from decoded(self._stream, packet)[0]
            position += 1
            if position > end:
                break
        self._next = position
        context.skip_frame = "DEFAULT"
        yield from decoded(self._stream, None)[0]
        context.flush_buffers()

    def _packets_from(self, start: int) -> Iterator[av.Packet]:
        """Packets from ``start`` on. The container's seeking is checked, and replaced by reading from the beginning if it is bad."""
        if self._next != start:
            for target in {self._index.pts[start], self._index.dts[start]}:
                for packet in self._sought(int(target)):
                    position = self._index.find(packet)
    
    def _read_linear(self, needed: np.ndarray, size: FrameSize) -> np.ndarray:
        raise NotImplementedError
