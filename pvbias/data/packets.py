"""What a video file's packets say about its frames, without decoding any: exact times and key frames."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .containers import decoded, demuxed, open_container, video_stream
from .video import BadVideoError

#: Stands for a timestamp that a packet does not have.
NO_TIMESTAMP = np.iinfo(np.int64).min

#: Duration of a one-frame video that states none, seconds.
_STILL_DURATION = 1 / 30

#: Ticks of a stream that states none.
_MILLISECOND = 1 / 1000

#: Files whose index a process keeps. One takes 30 bytes a packet, so 10 kB for a Kinetics video.
_CACHE_SIZE = 2048

#: Packets that were read for an index are kept for decoding up to this much data, bytes: a Kinetics video has 1 MB.
_KEPT_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class PacketIndex:
    """The packets of a file's video stream, and the frames they promise.

    Attributes:
        pts, dts: int64 ``(P,)``, in ticks, in the order of decoding; NO_TIMESTAMP where there is none.
        is_key: bool ``(P,)``.
        packet_of_frame: int64 ``(F,)``, the packet of each frame in the order of display; empty when ``counted``.
        frame_pts: int64 ``(F,)``, ascending.
        counted: the packets' times are not those of the frames that come out, so frames are told apart by counting
            them from the start.
        tick: seconds.
        duration: seconds from the first frame to the end of the last.
        timestamps: float64 ``(F,)``, seconds from the first frame.
        keys: the packets that are key packets, ascending.
    """

    pts: np.ndarray
    dts: np.ndarray
    is_key: np.ndarray
    packet_of_frame: np.ndarray
    frame_pts: np.ndarray
    counted: bool
    tick: float
    duration: float
    timestamps: np.ndarray = field(init=False)
    keys: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamps", (self.frame_pts - self.frame_pts[0]) * self.tick)
        object.__setattr__(self, "keys", np.flatnonzero(self.is_key).tolist())

    def start_of(self, packet: int) -> int:
        """The key packet to start decoding from for the frame of ``packet``.

        A frame that is shown before the key frame it follows in the file (a leading picture of an open GOP) needs the
        key frame before that one.
        """
        for key in reversed(self.keys[: bisect_right(self.keys, packet)]):
            if self.pts[key] <= self.pts[packet]:
                return key
        return 0

    def find(self, packet: av.Packet) -> int | None:
        """Position of a packet in the order of decoding; None when its timestamps do not tell."""
        matches = np.flatnonzero((self.pts == _ticks(packet.pts)) & (self.dts == _ticks(packet.dts)))
        return int(matches[0]) if len(matches) == 1 else None


_cache: OrderedDict[tuple[str, int, int], PacketIndex] = OrderedDict()


@dataclass(frozen=True)
class Scanned:
    """What has been read from a container to get its index.

    Attributes:
        index: what the packets say.
        read: the container gives packet number ``read`` next.
        packets: all of them, if they had to be read and are not too large to keep; else empty.
    """

    index: PacketIndex
    read: int
    packets: list[av.Packet]


def packet_index(path: str, container: InputContainer, stream: VideoStream) -> Scanned:
    """The index of an opened file; made once for each file in a process.

    Raises:
        BadVideoError: there is no frame.
    """
    status = os.stat(path)
    key = (path, status.st_mtime_ns, status.st_size)
    index = _cache.get(key)
    if index is not None:
        _cache.move_to_end(key)
        return Scanned(index, 0, [])
    scanned = _scan(path, container, stream)
    _cache[key] = scanned.index
    if len(_cache) > _CACHE_SIZE:
        _cache.popitem(last=False)
    return scanned


def forget_indexes() -> None:
    """Drop all indexes that this process keeps, as if it had seen no file yet."""
    _cache.clear()


def _scan(path: str, container: InputContainer, stream: VideoStream) -> Scanned:
    rows, kept, last_duration, total = [], [], 0, 0
    for packet in demuxed(container, stream):
        pts, dts, size = packet.pts, packet.dts, packet.size
        rows.append((_ticks(pts), _ticks(dts), size, packet.is_keyframe, packet.is_discard))
        last_duration = packet.duration or last_duration
        total += size
        if total <= _KEPT_BYTES:
            kept.append(packet)
        if len(rows) == 1 and _has_table(container, stream, packet):
            rows = [(e.timestamp, e.timestamp, e.size, e.is_keyframe, e.is_discard) for e in stream.index_entries]
            read = 1
            break
    else:
        read = len(rows)
    pts, dts, sizes, is_key, hidden = np.array(rows, np.int64).reshape(-1, 5).T
    frames = _frames_of_packets(pts, is_key.astype(bool), hidden.astype(bool))
    if not len(frames):
        promised = f" of the {stream.frames} that its header promises" if stream.frames else ""
        raise BadVideoError("no decodable frame", f"the file holds no data for any frame{promised}")
    frame_pts, counted = pts[frames], False
    if NO_TIMESTAMP in frame_pts or (np.diff(frame_pts) <= 0).any():
        frame_pts, counted = _decoded_pts(path), True
    elif container.format.name == "avi" and (np.diff(pts) < 0).any():
        # AVI stores no display times. Where frames are reordered, ffmpeg makes up a plausible set of times, but gives
        # them to the wrong frames. A packet of one byte stands for a frame that comes later (XviD).
        real = sizes[frames] > 1
        frame_pts, counted = frame_pts[real] if real.any() else frame_pts, True
    tick = float(stream.time_base or _MILLISECOND)
    # The median rather than what the last packet says: containers get that wrong more often than not.
    last = float(np.median(np.diff(frame_pts))) if len(frame_pts) > 1 else last_duration
    duration = float(frame_pts[-1] - frame_pts[0] + last) * tick
    index = PacketIndex(
        pts=pts,
        dts=dts,
        is_key=is_key.astype(bool),
        packet_of_frame=frames[:0] if counted else frames,
        frame_pts=frame_pts,
        counted=counted,
        tick=tick,
        duration=duration if duration > 0 else _STILL_DURATION,
    )
    return Scanned(index, read, kept if len(kept) == len(rows) else [])


def _has_table(container: InputContainer, stream: VideoStream, first: av.Packet) -> bool:
    """Whether the container's own table of packets says what a scan would: an MP4 whose frames are stored in the order
    of display, so that the table's decoding times are display times, too; the ``first`` packet shows that they are."""
    if "mp4" not in container.format.name.split(",") or stream.codec_context.has_b_frames:
        return False
    table = stream.index_entries
    return 0 < stream.frames == len(table) and first.pts == first.dts == table[0].timestamp


def _frames_of_packets(pts: np.ndarray, is_key: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The packets whose frames are shown, in the order of display. An edit list may hide frames that others refer to;
    those before the first key frame cannot be decoded (a stream that was cut anywhere)."""
    frames = np.flatnonzero(~hidden)
    if is_key.any():
        first = int(np.argmax(is_key))
        frames = frames[(frames >= first) & (pts[frames] >= pts[first])]
    return frames[np.argsort(pts[frames], kind="stable")]


def _decoded_pts(path: str) -> np.ndarray:
    """Times of all frames, found by decoding them. They come out in the order of display, so the k-th gets the k-th
    smallest time."""
    times: list[int | None] = []
    trouble = ""
    with open_container(path) as container:
        stream = video_stream(container)
        for packet in chain(demuxed(container, stream), [None]):
            for frame, complaint in decoded(stream, packet):
                trouble = trouble or complaint
                if frame is not None:
                    times.append(frame.dts if frame.pts is None else frame.pts)
    if not times:
        raise BadVideoError("no decodable frame", trouble)
    if None in times:  # a bare elementary stream: frames at a constant rate
        rate = float(stream.guessed_rate or stream.average_rate or 25)
        times = [round(number / (rate * float(stream.time_base or _MILLISECOND))) for number in range(len(times))]
    ordered = np.sort(np.array(times, np.int64))
    # Frames that claim the same time follow one another by a tick.
    steps = np.arange(len(ordered))
    return np.maximum.accumulate(ordered - steps) + steps


def _ticks(time: int | None) -> int:
    return NO_TIMESTAMP if time is None else time
