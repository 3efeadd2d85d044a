"""Random access to the frames of video files: only what is needed is decoded, and damage is survived."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import TracebackType

import av
import numpy as np
from av.video.frame import PictureType

from .containers import STRICT, decoded, demuxed, open_container, video_stream
from .display_times import NO_TIMESTAMP
from .orientation import Orientation
from .packets import MAX_GAP, PacketIndex, identity, packet_index, recounted, unseekable
from .resizing import Resizer, why_not
from .video import BadVideoError, FrameSize, frames_shown, in_order

#: Decoders that flushing does not make forget what they have read of a damaged file: segments, headers.
_REMEMBERING = frozenset({"vp8", "mpeg4"})


class FileVideo:
    """A video file opened with PyAV; implements :class:`pvbias.video.Video`.

    The k-th frame is the k-th of plain decoding from the beginning, whatever else is asked for.

    One demultiplexing scan (half a millisecond for a Kinetics video) gives the exact times and key frames, whatever
    the header claims; where an MP4's table of packets says the same, it is taken instead. A read then makes one pass
    over the file: it seeks to the key frame before a needed frame, decodes up to the last needed frame that builds on
    it, and goes on at the next; frames that are neither needed nor referred to by others are not decoded. Only needed
    frames are scaled. Where the packets' times, key flags or places turn out not to be those of the frames that come
    out, frames are counted and the file is decoded linearly from its start. The log names such files, but for AVI,
    which stores no display times anyway.

    The best video stream is used, on one thread. Frames are turned and mirrored as their display matrix says.

    Args:
        path: a file.

    Raises:
        BadVideoError: it is missing, unreadable, encrypted, has no video stream or no frame, or damaged times.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._container = open_container(path)
        try:
            self._stream = video_stream(self._container)
            scanned = packet_index(path, self._container, self._stream)
        except BaseException:
            self._container.close()
            raise
        self._index = scanned.index
        self._packets = scanned.packets
        self._strict = self._index.strict
        if self._strict:
            self._stream.codec_context.options = STRICT
        self._next = scanned.read  # position of the packet that the container gives next
        self._given_back: av.Packet | None = None  # the one before that, where it has not been used
        self._decoder_used = False
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
        """The frames shown at ``times``: uint8 RGB ``(len(times), height, width, 3)``; see :class:`pvbias.video.Video`.

        The frame shown at a time is the last one that has come up. A frame that cannot be decoded is replaced by a
        neighbour within ``MAX_GAP``, as players do. The size follows the first needed frame; should the resolution
        change, later ones are scaled to it.

        Raises:
            BadVideoError: ``no decodable frame``, or ``decoder error`` with the time of the frame that cannot be had.
        """
        needed, place = frames_shown(self.timestamps, times)
        images = _Images(self._resizer, size, len(needed))
        index, left = self._index, list(range(len(needed)))
        if not index.counted:
            left, reason = self._read_groups(needed, images)
            if left:
                # Kept apart from the index: what a file gives must not depend on what was read of it before.
                index = recounted(self.path, self._index, reason)
        if left:
            self._read_counted(index, needed, left, images)
        return in_order(images.frames, place)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> FileVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read_groups(self, needed: np.ndarray, images: _Images) -> tuple[list[int], str]:
        """Read the frames ``needed`` (ascending) by way of the index.

        Returns:
            The places of those that cannot be had that way, and why the first of them cannot.
        """
        if self._strict != self._index.strict:
            self._rewind(strict=self._index.strict)
        slots: dict[int | None, int] = {
            int(self._index.frame_pts[frame]): slot for slot, frame in enumerate(needed.tolist())
        }
        left: list[int] = []
        reason = ""
        for start, packets in _groups(self._index, needed):
            own = {slots[int(self._index.pts[packet])] for packet in packets}
            try:
                try:
                    self._read_group(start, packets[-1], slots, own, needed, images)
                except _NotSeekable:
                    self._index = unseekable(self.path, self._index)
                    self._read_group(start, packets[-1], slots, own, needed, images)
            except _BrokenPromise as broken:
                reason = reason or str(broken)
                left += own
        return left, reason

    def _read_group(
        self,
        start: int,
        end: int,
        slots: Mapping[int | None, int],
        own: Collection[int],
        needed: np.ndarray,
        images: _Images,
    ) -> None:
        """Read, from the key packet ``start`` on, those of the ``slots`` that are its ``own``."""
        key_time, previous, all_come = int(self._index.pts[start]), NO_TIMESTAMP, not self._skips
        missing = set(own)
        for frame, complaint in self._decode_group(start, end, slots):
            # Where data are broken, what comes out depends on what was decoded before. Only decoding from the start
            # gives the same for any clip.
            if frame is None or frame.is_corrupt:
                raise _BrokenPromise(f"the decoder complains ({complaint or 'damaged data'})")
            if frame.pts is None or frame.pts <= previous:
                raise _BrokenPromise("frames come out in another order than that of their times")
            if all_come and previous != NO_TIMESTAMP:
                following = int(np.searchsorted(self._index.frame_pts, previous)) + 1
                if following < len(self._index.frame_pts) and frame.pts != self._index.frame_pts[following]:
                    raise _BrokenPromise("frames that the packets promise do not come out of the decoder")
            previous = frame.pts
            if frame.pts == key_time and not _is_intra(frame):
                raise _BrokenPromise("what is flagged as a key frame is not intra-coded, as far as its decoder says")
            slot = slots.get(frame.pts)
            if slot in missing:
                self._put(images, slot, frame, needed[slot])
                missing.discard(slot)
            if not missing:
                return
        raise _BrokenPromise("frames that the packets promise do not come out of the decoder")

    def _decode_group(
        self, start: int, end: int, wanted: Container[int | None]
    ) -> Iterator[tuple[av.VideoFrame | None, str]]:
        """Frames that come out of decoding from packet ``start``, a key packet; of times not ``wanted``, only those
        that it has to decode.

        The caller stops when it has the frame of packet ``end``. The decoder gives it when it has got a packet or two
        more; to ask for it at once would hide that damage there costs plain decoding that frame.
        """
        if self._decoder_used and self._stream.codec_context.name in _REMEMBERING:
            self._rewind(strict=self._strict)
        self._decoder_used = True
        context, skips = self._stream.codec_context, self._skips
        context.flush_buffers()
        for number, packet in enumerate(self._packets_from(start), start):
            if number > end and self._index.is_key[number]:
                self._given_back = packet  # the next stretch may well begin with it
                break
            if skips:
                context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield from decoded(self._stream, packet)
        context.skip_frame = "DEFAULT"
        yield from decoded(self._stream, None)

    @property
    def _skips(self) -> bool:
        """Whether frames that are neither needed nor referred to are skipped, which changes others by no bit.

        Not with dav1d: what it is told holds for packets that it was given before, too. Nor where packets are cut from
        a stream: there a damaged one may hold more than one frame.
        """
        stored = {"mp4", "matroska", "avi"} & set(self._container.format.name.split(","))
        return bool(stored) and self._stream.codec_context.name != "libdav1d"

    def _packets_from(self, start: int) -> Iterator[av.Packet]:
        """Packets ``start`` and following, as they were indexed. Where the container's seeking gets to is checked;
        when that is too late or cannot be told, the file is read from its beginning."""
        if self._packets:
            yield from islice(self._packets, start, None)
            return
        position, packets = self._next, demuxed(self._container, self._stream)
        if self._given_back is not None:
            position, packets = position - 1, chain([self._given_back], packets)
            self._given_back = None
        if position != start:
            position, packets = self._seek(start)
        expected = self._index.identities(start)
        for number, packet in enumerate(packets, position):
            self._next = number + 1
            if number < start:
                continue
            if identity(packet) != next(expected, None):
                if self._index.seekable:
                    raise _NotSeekable
                raise _BrokenPromise("its packets are not those that its index names")
            yield packet

    def _seek(self, target: int) -> tuple[int, Iterator[av.Packet]]:
        """A position at or before packet ``target``, and the packets from there on."""
        # Containers differ in which of the two they seek by.
        for time in (self._index.pts[target], self._index.dts[target]) if self._index.seekable else ():
            if time == NO_TIMESTAMP:
                continue
            try:
                self._container.seek(int(time), stream=self._stream)
            except av.FFmpegError:
                continue
            packets = demuxed(self._container, self._stream)
            first = next(packets, None)
            position = None if first is None else self._index.find(first)
            if first is not None and position is not None and position <= target:
                return position, chain([first], packets)
        self._rewind(strict=self._strict)
        return 0, demuxed(self._container, self._stream)

    def _rewind(self, *, strict: bool) -> None:
        """Open the file again: the one way back to its start that works for every container."""
        self._container.close()
        self._container = open_container(self.path)
        self._stream = video_stream(self._container, strict=strict)
        self._strict = strict
        self._packets = []  # those of the container that is closed now
        self._next = 0
        self._given_back = None
        self._decoder_used = False

    def _read_counted(self, index: PacketIndex, needed: np.ndarray, left: Sequence[int], images: _Images) -> None:
        """Read the frames of ``needed`` whose places are ``left``, by decoding everything from the start and counting
        what comes out."""
        assert index.output_of_frame is not None
        slots: dict[int, list[int]] = {}
        for slot in left:
            number = int(index.output_of_frame[needed[slot]])
            if number < 0:
                raise self._lost(index, needed[slot])
            slots.setdefault(number, []).append(slot)
        last = None
        for number, frame in enumerate(self._decode_from_start()):
            last = number, frame
            for slot in slots.pop(number, ()):
                self._put(images, slot, frame, needed[slot])
            if not slots:
                return
        if last is None:
            raise BadVideoError("no decodable frame", index.trouble)
        for slot in chain.from_iterable(slots.values()):  # an AVI gives fewer frames than it has chunks
            away = self.timestamps[needed[slot]] - self.timestamps[last[0]]
            if away > MAX_GAP:
                raise self._lost(index, needed[slot])
            self._put(images, slot, last[1], needed[slot])

    def _decode_from_start(self) -> Iterator[av.VideoFrame]:
        """All frames that come out of plain decoding."""
        if self._decoder_used or self._strict or (self._next != 0 and not self._packets):
            self._rewind(strict=False)
        self._decoder_used = True
        packets = iter(self._packets) if self._packets else demuxed(self._container, self._stream)
        self._next = -1  # it will not be known how many packets the container has given
        for packet in chain(packets, [None]):
            yield from (frame for frame, _ in decoded(self._stream, packet) if frame is not None)

    def _lost(self, index: PacketIndex, number: int) -> BadVideoError:
        why = index.trouble or "no frame comes out of the decoder"
        return BadVideoError("decoder error", f"at {self.timestamps[number]:.2f} s: {why}")

    def _put(self, images: _Images, slot: int, frame: av.VideoFrame, number: int) -> None:
        try:
            images.put(slot, frame)
        except av.FFmpegError as error:
            why = why_not(frame) or f"{frame.format.name} frames cannot be converted: {error.strerror}"
            raise BadVideoError("decoder error", f"at {self.timestamps[number]:.2f} s: {why}") from error


class _NotSeekable(Exception):
    """Raised where seeking leads to other packets than reading from the start does."""


class _BrokenPromise(Exception):
    """Raised where the decoder does not put out what the packets promise; says why."""


class _Images:
    """Collector of upright, resized frames in one array ``(count, height, width, 3)``, allocated when the first frame
    tells the size."""

    def __init__(self, resizer: Resizer, size: FrameSize, count: int) -> None:
        self._resizer = resizer
        self._size = size
        self._count = count
        self.frames = np.empty((count, 0, 0, 3), np.uint8)

    def put(self, slot: int, frame: av.VideoFrame) -> None:
        orientation = Orientation.of(frame)
        sideways = orientation.transpose
        if not self.frames.shape[1]:
            height, width = (frame.width, frame.height) if sideways else (frame.height, frame.width)
            self.frames = np.empty((self._count, *self._size(height, width), 3), np.uint8)
        height, width = self.frames.shape[1:3]
        self.frames[slot] = orientation(self._resizer(frame, *((width, height) if sideways else (height, width))))


def _is_intra(frame: av.VideoFrame) -> bool:
    """Whether a frame was coded without reference to others. Decoders of codecs that have no other frames may not say
    of which kind it is."""
    return frame.pict_type in (PictureType.I, PictureType.SI) or (
        frame.pict_type == PictureType.NONE and frame.key_frame
    )


def _groups(index: PacketIndex, needed: np.ndarray) -> list[tuple[int, list[int]]]:
    """Stretches to decode: the key packet to start from, and the packets of needed frames that build on it, ascending.
    What is decoded before a frame does not depend on which others are needed."""
    groups: dict[int, list[int]] = {}
    for packet in np.sort(index.packet_of_frame[needed]).tolist():
        groups.setdefault(index.start_of(packet), []).append(packet)
    return sorted(groups.items())
