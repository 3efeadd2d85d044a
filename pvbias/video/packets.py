"""The packet index of a video file: exact times, key frames and positions of all frames, mostly without decoding.

A file's packets come in the order of decoding, its frames in the order of display. What the packets say of that is
believed where it is consistent. Where it is not, the file is decoded once from its beginning, and what the decoder puts
out decides: the k-th frame is the k-th that comes out.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .bytes_cache import BytesCache
from .containers import check_not_encrypted, decode_all, demuxed, open_container, video_stream
from .display_times import (
    NO_TIMESTAMP,
    complete_times,
    doubtful_times,
    frames_of_packets,
    has_jumps,
    joined_times,
    stand_ins,
    times_by_rank,
    unexplained_gap,
    without_outliers,
)
from .video import BadVideoError

logger = logging.getLogger(__name__)

#: Duration of a one-frame video that states none, seconds.
_STILL_DURATION = 1 / 30

#: Ticks of a stream that states none.
_MILLISECOND = 1 / 1000

#: A frame that the decoder cannot give is replaced by a neighbour that is at most this far away, seconds.
MAX_GAP = 0.5

#: Formats that are cut and sent, and lose packets on the way: MPEG transport and program streams.
_LOSSY = frozenset({"mpegts", "mpeg"})

#: Codecs whose frames ffmpeg makes up no times for.
_UNTIMED_IN_AVI = frozenset({"h264", "hevc", "vvc"})

#: Packets whose identities are looked up at once.
_CHUNK = 64

#: Indexes that a process keeps, bytes. One takes 60 bytes a packet: 15 kB for a Kinetics video, 6 MB for an hour.
_CACHE_BYTES = 64 << 20

#: A Python number in a list, bytes.
_NUMBER_BYTES = 40

#: Packets that were read for an index are kept for decoding up to this much data, bytes: a Kinetics video has 1 MB.
_KEPT_BYTES = 4 << 20

#: Files that a process names in its log because they have to be decoded linearly; what is true of one is then mostly
#: true of a whole data set.
_MAX_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class PacketIndex:
    """The packets of a file's video stream, and the frames that come of them.

    Attributes:
        pts, dts: int64 ``(P,)``, in ticks, in the order of decoding; NO_TIMESTAMP where there is none.
        sizes, positions: int64 ``(P,)``, bytes; the place in the file, -1 where it is not known.
        is_key: bool ``(P,)``.
        packet_of_frame: int64 ``(F,)``, the packet of each frame in the order of display; not used when ``counted``.
        frame_pts: int64 ``(F,)``, ascending.
        tick: seconds.
        duration: seconds from the first frame to the end of the last.
        output_of_frame: int64 ``(F,)``, ascending, when ``counted``: the number of each frame, or of the one that
            stands in for it, among those that come out; -1 for one that cannot be had.
        trouble: what the decoder complained of, if that is known.
        seekable: the container's seeking gives the packets that reading it from the start gives.
        timestamps: float64 ``(F,)``, seconds from the first frame.
        keys: the packets that are key packets, ascending.
    """

    pts: np.ndarray
    dts: np.ndarray
    sizes: np.ndarray
    positions: np.ndarray
    is_key: np.ndarray
    packet_of_frame: np.ndarray
    frame_pts: np.ndarray
    tick: float
    duration: float
    output_of_frame: np.ndarray | None = None
    trouble: str = ""
    seekable: bool = True
    timestamps: np.ndarray = field(init=False)
    keys: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamps", (self.frame_pts - self.frame_pts[0]) * self.tick)
        object.__setattr__(self, "keys", np.flatnonzero(self.is_key).tolist())

    @property
    def nbytes(self) -> int:
        """Its size in memory, about."""
        own = [value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray)]
        return sum(own) + _NUMBER_BYTES * len(self.keys)

    @property
    def counted(self) -> bool:
        """Whether the file is always decoded from its start, and the frames that come out are counted."""
        return self.output_of_frame is not None

    @cached_property
    def strict(self) -> bool:
        """Whether the decoder is to report damage. Not where it decodes from the start and makes up for it; nor with
        open GOPs: from a key frame on, leading pictures lack what they refer to, which a decoder calls damage."""
        if self.counted or not self.keys:
            return not self.counted
        return not bool((np.minimum.reduceat(self.pts, self.keys) < self.pts[self.keys]).any())

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
        """Position of a packet in decoding order; None when it is none of those that were indexed, or when its time,
        size and place in the file do not tell it from another."""
        pts, size, position = identity(packet)
        same = (self.pts == pts) & (self.sizes == size) & (self.positions == position)
        matches = np.flatnonzero(same)
        return int(matches[0]) if len(matches) == 1 else None

    def identities(self, start: int) -> Iterator[tuple[int, int, int]]:
        """Identities of packets ``start`` and following: see :func:`identity`."""
        for begin in range(start, len(self.pts), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            yield from zip(
                self.pts[part].tolist(), self.sizes[part].tolist(), self.positions[part].tolist(), strict=True
            )


def identity(packet: av.Packet) -> tuple[int, int, int]:
    """Time, size and place of a packet in its file."""
    return _ticks(packet.pts), packet.size, _place(packet)


_FileKey = tuple[str, int, int]
_cache: BytesCache[PacketIndex] = BytesCache(_CACHE_BYTES)
#: What :func:`recounted` gave. Not in place of the other: what a file gives must not depend on what was read before.
_recounted: BytesCache[PacketIndex] = BytesCache(_CACHE_BYTES)
_named: set[str] = set()


@dataclass(frozen=True)
class Scanned:
    """The packets of a container, as read for its index.

    Attributes:
        index: what the packets say.
        read: the container gives packet number ``read`` next.
        packets: all of them, if they had to be read and are not too large to keep; else empty.
    """

    index: PacketIndex
    read: int
    packets: list[av.Packet]


def packet_index(path: str, container: InputContainer, stream: VideoStream) -> Scanned:
    """The index of an opened file; cached in the process.

    Raises:
        BadVideoError: there is no frame, or its times are damaged beyond repair.
    """
    key = _file_key(path)
    index = _cache.get(key)
    if index is not None:
        return Scanned(index, 0, [])
    scanned = _scan(path, container, stream)
    _cache.keep(key, scanned.index)
    return scanned


def forget_indexes() -> None:
    """Clear the cache of indexes."""
    _cache.clear()
    _recounted.clear()
    _named.clear()


def unseekable(path: str, index: PacketIndex) -> PacketIndex:
    """The index of a file in which seeking leads to other packets than reading does; cached for its next visits."""
    return _cache.keep(_file_key(path), replace(index, seekable=False))


def recounted(path: str, index: PacketIndex, reason: str) -> PacketIndex:
    """The index of a file after decoding it completely, where its packets promise other frames than come out; cached.

    The times of the frames stay as they were promised, so that a file's first visit does not differ from its second. A
    frame that does not come out is replaced by the one before it, else by the one after it, if within MAX_GAP.

    Raises:
        BadVideoError: no frame comes out.
    """
    key = _file_key(path)
    known = _recounted.get(key)
    if known is not None:
        return known
    times, interval, trouble = _decode_times(path, index.tick)
    times = without_outliers(times, index.tick)
    _name(path, reason)
    # Without damage the k-th frame that comes out is the k-th of all, whatever time it has been given.
    came_out = times if trouble else complete_times(times, interval).tolist()
    output = stand_ins(index.frame_pts, came_out, MAX_GAP / index.tick)
    return _recounted.keep(key, replace(index, output_of_frame=output, trouble=trouble))


def _scan(path: str, container: InputContainer, stream: VideoStream) -> Scanned:
    rows, kept, last_duration, total = [], [], 0, 0
    doubt = ""
    for packet in demuxed(container, stream):
        size = packet.size
        rows.append(
            (_ticks(packet.pts), _ticks(packet.dts), size, _place(packet), packet.is_keyframe, packet.is_discard)
        )
        last_duration = packet.duration or last_duration
        total += size
        if total <= _KEPT_BYTES:
            kept.append(packet)
        if packet.is_corrupt:
            doubt = "some of its packets are damaged"
        if len(rows) == 1:
            check_not_encrypted(packet)
        if len(rows) == 1 and _has_table(container, stream, packet):
            table = stream.index_entries
            rows = [(e.timestamp, e.timestamp, e.size, e.pos, e.is_keyframe, e.is_discard) for e in table]
            read = 1
            break
    else:
        read = len(rows)
        if rows:
            check_not_encrypted(packet)  # a clear beginning is often followed by encrypted data
    pts, dts, sizes, positions, is_key, hidden = np.array(rows, np.int64).reshape(-1, 6).T
    frames = frames_of_packets(pts, is_key.astype(bool), hidden.astype(bool))
    if not len(frames):
        promised = f" of the {stream.frames} that its header promises" if stream.frames else ""
        raise BadVideoError("no decodable frame", f"the file holds no data for any frame{promised}")
    index = PacketIndex(
        pts=pts,
        dts=dts,
        sizes=sizes,
        positions=positions,
        is_key=is_key.astype(bool),
        packet_of_frame=frames,
        frame_pts=pts[frames],
        tick=float(stream.time_base or _MILLISECOND),
        duration=0.0,
    )
    reordering = _reorders(container, stream)
    if container.format.name == "avi" and (reordering or (np.diff(pts) < 0).any()) and NO_TIMESTAMP not in pts:
        index = _counted_by_packets(index)
    elif doubt := doubt or _doubt(container, stream, index, hidden.astype(bool), reordering=reordering):
        index = _by_decoding(path, index, doubt)
    duration = _duration(index.frame_pts, index.tick, last_duration)
    return Scanned(replace(index, duration=duration), read, kept if len(kept) == len(rows) else [])


def _reorders(container: InputContainer, stream: VideoStream) -> bool:
    """Whether frames may be stored in another order than that of display.

    In AVI ffmpeg makes up the times of most codecs by looking at each frame's kind: they fall where frames are
    reordered, whatever the header says.
    """
    believed = container.format.name != "avi" or stream.codec_context.name in _UNTIMED_IN_AVI
    return believed and bool(stream.codec_context.has_b_frames)


def _doubt(
    container: InputContainer, stream: VideoStream, index: PacketIndex, hidden: np.ndarray, *, reordering: bool
) -> str:
    """Reason to doubt that frames come out of the decoder as the packets promise; empty: there is none."""
    doubt = doubtful_times(index.frame_pts, index.pts[~hidden], index.dts, index.tick, reordering=reordering)
    if doubt:
        return doubt
    if container.format.name in _LOSSY and has_jumps(index.dts):
        return "its decoding times jump, as where packets were lost"
    if not index.is_key[0] and index.is_key.any():
        return "it does not begin with a key frame"
    if stream.codec_context.name == "mpeg4" and (index.sizes == 1).any():
        return "several of its frames share a packet, and empty ones follow"
    if stream.codec_context.name == "mpeg4" and reordering:
        # Most such files have been copied from AVI, with the times that ffmpeg makes up there: right for some frames.
        return "the times of its packets are not those of the frames that come out of the decoder"
    return ""


def _duration(frame_pts: np.ndarray, tick: float, last: int) -> float:
    """Seconds from the first frame to the end of the last."""
    # The median rather than what the last packet says: containers get that wrong more often than not.
    last_frame = float(np.median(np.diff(frame_pts))) if len(frame_pts) > 1 else last
    duration = float(frame_pts[-1] - frame_pts[0] + last_frame) * tick
    return duration if duration > 0 else _STILL_DURATION


def _has_table(container: InputContainer, stream: VideoStream, first: av.Packet) -> bool:
    """Whether the container's own table of packets replaces a scan: an MP4 whose frames are stored in display order, so
    that the table's decoding times are display times, too; the ``first`` packet shows that they are."""
    if "mp4" not in container.format.name.split(",") or stream.codec_context.has_b_frames:
        return False
    table = stream.index_entries
    return 0 < stream.frames == len(table) and first.pts == first.dts == table[0].timestamp


def _counted_by_packets(index: PacketIndex) -> PacketIndex:
    """The index of an AVI, which stores no display times, and one frame in each chunk. Where frames are reordered,
    ffmpeg makes up a plausible set of times, but gives them to the wrong frames. A packet of one byte stands for a
    frame that comes later (XviD)."""
    real = index.sizes[index.packet_of_frame] > 1
    frame_pts = index.frame_pts[real] if real.any() else index.frame_pts
    return replace(
        index,
        frame_pts=times_by_rank(frame_pts),
        output_of_frame=np.arange(len(frame_pts)),
    )


def _by_decoding(path: str, index: PacketIndex, doubt: str) -> PacketIndex:
    """The index after decoding the whole file: as it was where frames come out as its packets promise, each at a time
    of its own, else counted."""
    times, _, trouble = _decode_times(path, index.tick, strict=True)
    kept = times == index.frame_pts.tolist() and (np.diff(index.frame_pts) > 0).all()
    if kept and not trouble and not unexplained_gap(index.frame_pts, index.tick):
        return index
    times, interval, trouble = _decode_times(path, index.tick)
    pts = complete_times(joined_times(without_outliers(times, index.tick), interval, index.tick), interval)
    gap = unexplained_gap(pts, index.tick)
    if gap:
        raise BadVideoError("damaged times", gap)
    _name(path, doubt)
    return replace(index, frame_pts=pts, output_of_frame=np.arange(len(pts)), trouble=trouble)


def _decode_times(path: str, tick: float, *, strict: bool = False) -> tuple[list[int | None], float, str]:
    """Decode a whole file.

    Args:
        path: the file.
        tick: seconds.
        strict: the decoder reports damage instead of making up for it.

    Returns:
        The times that its frames come out with, in ticks, None where there is none; the ticks from one frame to the
        next where nothing else is known; and what the decoder complained of first.

    Raises:
        BadVideoError: no frame comes out.
    """
    times: list[int | None] = []
    trouble = ""
    with open_container(path) as container:
        stream = video_stream(container, strict=strict)
        rate = float(stream.guessed_rate or stream.average_rate or 25)
        for frame, complaint in decode_all(container, stream):
            trouble = trouble or complaint
            if frame is not None:
                trouble = trouble or ("damaged data" if frame.is_corrupt else "")
                times.append(frame.pts)
    if not times:
        raise BadVideoError("no decodable frame", trouble)
    return times, 1 / (rate * tick), trouble


def _file_key(path: str) -> _FileKey:
    status = os.stat(path)
    return path, status.st_mtime_ns, status.st_size


def _name(path: str, reason: str) -> None:
    """Log once that a file is decoded linearly, and why."""
    if path in _named or len(_named) > _MAX_NAMED:
        return
    _named.add(path)
    if len(_named) > _MAX_NAMED:
        logger.warning("Further files that have to be decoded linearly are not named.")
    else:
        logger.warning("%s is decoded linearly, and its frames are counted: %s.", path, reason)


def _ticks(time: int | None) -> int:
    return NO_TIMESTAMP if time is None else time


def _place(packet: av.Packet) -> int:
    return -1 if packet.pos is None else packet.pos
