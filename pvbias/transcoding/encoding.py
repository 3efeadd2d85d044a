"""Re-encoding of a video as an H.264 file that is cheap to decode from anywhere: small, or lossless."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ..data.records import VideoRecord, VideoSource
from ..errors import ConfigError, DataError
from ..video.decoding import FileVideo
from ..video.video import Video

#: Ticks a second of the files written. Every usual frame rate is exact in it: 1/30 s is 3000 ticks, 1001/30000 s is
#: 3003.
TICKS = 90_000
#: Frames of each file on which the quality is measured.
SAMPLED_FRAMES = 4
#: Decoded frames that are held at a time, bytes.
_CHUNK_BYTES = 96 * 2**20
_LIMITS = {"short_side": (16, 8192), "gop": (1, 100_000), "crf": (0, 51)}
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Settings of re-encoded files: codec options and size.

    Attributes:
        short_side: of the frames, pixels, >= 16; smaller videos keep their size.
        gop: frames from one key frame to the next at most, >= 1.
        crf: x264's constant rate factor, 0 (lossless) .. 51; 18 is hard to tell from the source.
        preset: how long x264 may try to make files small, ``ultrafast`` .. ``veryslow``.
        lossless: RGB as it is, to the bit; ``crf`` does not matter.

    Raises:
        ConfigError: a value out of its range.
    """

    short_side: int = 256
    gop: int = 15
    crf: int = 18
    preset: str = "fast"
    lossless: bool = False

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _LIMITS.items():
            if not lowest <= getattr(self, name) <= highest:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a number from {lowest} to {highest}.")
        if self.preset not in _PRESETS:
            raise ConfigError(f"preset is {self.preset!r}: give one of {', '.join(_PRESETS)}.")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Size that an upright frame is written in: never larger, aspect kept to a pixel, sides even as 4:2:0 wants
        them. Lossless frames that are small enough keep their size, even or odd."""
        if self.lossless and min(height, width) <= self.short_side:
            return height, width
        scale = min(1.0, self.short_side / min(height, width))
        scaled = [min(2 * round(length * scale / 2), length // 2 * 2) for length in (height, width)]
        return max(2, scaled[0]), max(2, scaled[1])


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Statistics of a re-encoded file.

    Attributes:
        frames: how many were written; as many as were decoded.
        squared_error: mean over the pixels of SAMPLED_FRAMES frames, in squared grey levels of RGB, against the resized
            source.
        figures: what the video says of itself when all of it has been read, in an attribute of this name; most have
            none.
    """

    frames: int
    squared_error: float
    figures: Mapping[str, float] = field(default_factory=dict)


def encode(source: VideoSource, record: VideoRecord, path: Path, encoding: Encoding) -> Encoded:
    """Re-encode the whole video of ``record`` to ``path``: upright, without sound, each frame at the time it had (from
    the first frame on).

    Raises:
        BadVideoError: the source cannot be decoded.
        DataError: the new file cannot be written, or does not hold what went in.
    """
    # The label and the part of the video that a record means are the annotation's business.
    record = dataclasses.replace(record, label=None, start=None, end=None)
    video = source.open(record)
    try:
        times = np.asarray(video.timestamps)
        ends = np.append(times[1:], video.duration)
        sampled = set(np.linspace(0, len(times) - 1, SAMPLED_FRAMES).round().astype(int).tolist())
        samples: dict[float, np.ndarray] = {}
        with _Writer(path, encoding) as writer:
            for index, frame in enumerate(_frames(video, times, encoding)):
                writer.add(frame, times[index], ends[index])
                if index in sampled:
                    samples[times[index]] = frame.copy()
    finally:
        video.close()
    encoded = _verified(record.name, path, times, samples)
    if encoding.lossless and encoded.squared_error:
        raise DataError(f"{record.name}: {path} was to be lossless, but its frames are not those that went in.")
    return dataclasses.replace(encoded, figures=getattr(video, "figures", {}))


def _frames(video: Video, times: np.ndarray, encoding: Encoding) -> Iterator[np.ndarray]:
    """All frames, resized, uint8 ``(height, width, 3)``; a bounded number at a time."""
    first, step = 0, 4
    while first < len(times):
        chunk = video.read(times[first : first + step].tolist(), encoding.size)
        yield from chunk
        first += step
        step = max(4, _CHUNK_BYTES // chunk[0].nbytes)


def _verified(name: str, path: Path, times: np.ndarray, samples: dict[float, np.ndarray]) -> Encoded:
    """Open the new file as a data loader would, and compare it with the source."""
    with FileVideo(str(path)) as video:
        written = np.asarray(video.timestamps)
        if len(written) != len(times) or np.abs(written - times).max() > 2 / TICKS:
            raise DataError(f"{name}: {len(times)} frames were written but {len(written)} can be read back.")
        # Asked for a tick late: the time of a frame may have been rounded up by half of one.
        frames = video.read(
            [min(time + 1 / TICKS, video.duration) for time in samples], lambda height, width: (height, width)
        )
    errors = [
        np.square(frame.astype(np.float32) - sample).mean()
        for frame, sample in zip(frames, samples.values(), strict=True)
    ]
    return Encoded(frames=len(times), squared_error=float(np.mean(errors)))


class _Writer:
    """Writer of an H.264 file from RGB frames with their times."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self._path = path
        self._encoding = encoding
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._reformatter = VideoReformatter()
        self._last_tick = -1
        self._last_duration = 1

    def __enter__(self) -> _Writer:
        try:
            self._container = av.open(str(self._path), "w", format="mp4")
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror}.") from error
        return self

    def add(self, image: np.ndarray, start: float, end: float) -> None:
        """Write a frame ``(height, width, 3)`` that is shown from ``start`` to ``end``, seconds."""
        height, width = image.shape[:2]
        if self._stream is None:
            self._stream = self._open_stream(height, width)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if not self._encoding.lossless:
            frame = self._reformatter.reformat(
                frame,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
        frame.time_base = Fraction(1, TICKS)
        frame.pts = self._last_tick = max(round(start * TICKS), self._last_tick + 1)
        self._last_duration = max(round(end * TICKS) - self._last_tick, 1)
        self._mux(self._stream.encode(frame))

    def __exit__(self, error_type: object, *error: object) -> None:
        assert self._container is not None
        try:
            if error_type is None and self._stream is not None:
                self._mux(self._stream.encode())
            self._container.close()
        except OSError as problem:
            raise DataError(f"{self._path} cannot be written: {problem.strerror}.") from problem

    def _open_stream(self, height: int, width: int) -> VideoStream:
        assert self._container is not None
        encoding = self._encoding
        options = {
            **({"qp": "0"} if encoding.lossless else {"crf": str(encoding.crf)}),
            "preset": encoding.preset,
            # Neither CABAC nor the deblocking filter: a third less work for the decoder, for 8 % more data.
            "tune": "fastdecode",
            # Key frames at a fixed distance; two of three frames between them are referred to by none, so that
            # those which a clip leaves out need no decoding. mbtree's vectorised code is not reproducible.
            "x264-params": f"keyint={encoding.gop}:min-keyint={encoding.gop}:scenecut=0"
            ":bframes=2:b-adapt=0:b-pyramid=none:mbtree=0",
        }
        codec, pixels = ("libx264rgb", "rgb24") if encoding.lossless else ("libx264", "yuv420p")
        stream = self._container.add_stream(codec, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        if not encoding.lossless:
            stream.codec_context.color_range = ColorRange.MPEG
            stream.codec_context.colorspace = Colorspace.ITU601
        return stream

    def _mux(self, packets: list[av.Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            if packet.pts == self._last_tick:  # the others last until the next one
                packet.duration = self._last_duration
            try:
                self._container.mux(packet)
            except OSError as error:
                raise DataError(f"{self._path} cannot be written: {error.strerror}.") from error
