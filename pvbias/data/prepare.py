"""Re-encode a data set once, so that every later epoch decodes little.

What decoding a short clip costs is mostly the way from the key frame before it, at full resolution. So: small frames, and key
frames close together.

::

    SOURCE (folder, .csv, .jsonl) -> OUT/same/names.mp4     H.264, yuv420p, no sound, upright, display times kept
                                     OUT/<annotation>       the annotation with the new paths, when SOURCE is a file
                                     OUT/prepared.jsonl     one line for each finished file; what a second run goes on from
                                     OUT/bad_videos.jsonl   what could not be used, and why
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path, PurePath

import av
import numpy as np
from tqdm import tqdm

from ..errors import ConfigError, DataError
from .video import BadVideoError, VideoRecord, VideoSource

#: Ticks a second of the files written. Every usual frame rate is exact in it: 1/30 s is 3000 ticks, 1001/30000 s is 3003.
TICKS = 90_000
#: Frames of each file on which the quality is measured.
PSNR_FRAMES = 4
#: Decoded frames held at a time in each process, bytes.
CHUNK_BYTES = 96 * 2**20
FINISHED_FILE = "prepared.jsonl"
SETTINGS_FILE = "prepare.json"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How files are written.

    Attributes:
        short_side: of the frames written, pixels, >= 16; smaller videos keep their size.
        gop: frames from one key frame to the next, >= 1.
        crf: x264's constant rate factor, 0 (lossless) .. 51; 18 is hard to tell from the source.
        preset: x264's name for how long it tries to make files small, ``ultrafast`` .. ``veryslow``.
    """

    short_side: int = 256
    gop: int = 15
    crf: int = 18
    preset: str = "fast"

    def __post_init__(self) -> None:
        for name, lowest, highest in (("short_side", 16, 8192), ("gop", 1, 100_000), ("crf", 0, 51)):
            if not lowest <= getattr(self, name) <= highest:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a number from {lowest} to {highest}.")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Size that an upright frame is written in: never larger, aspect kept to a pixel, both sides even (yuv420p)."""
        scale = min(1.0, self.short_side / min(height, width))
        return _even(height * scale), _even(width * scale)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One re-encoded file.

    Attributes:
        name: as in the annotation.
        path: of the new file, relative to the output folder.
        frames: how many.
        bytes_before, bytes_after: file sizes.
        squared_error: mean over PSNR_FRAMES frames, in squared grey levels (RGB), against the resized source.
    """

    name: str
    path: str
    frames: int
    bytes_before: int
    bytes_after: int
    squared_error: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run of :func:`prepare` came to, the files of earlier runs on the same folder included.

    Attributes:
        encoding: the settings.
        finished: all re-encoded files.
        resumed: how many of them an earlier run had finished.
        bad: how many files could not be used.
    """

    encoding: Encoding
    finished: Sequence[Finished]
    resumed: int
    bad: int

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio over the sampled frames of all files, dB."""
        return _psnr(float(np.mean([f.squared_error for f in self.finished])) if self.finished else math.nan)

    @property
    def lowest_psnr(self) -> float:
        """That of the worst file, dB."""
        return _psnr(max((f.squared_error for f in self.finished), default=math.nan))

    @property
    def bytes_before(self) -> int:
        """Size of the sources of all finished files."""
        return sum(f.bytes_before for f in self.finished)

    @property
    def bytes_after(self) -> int:
        """Size of all finished files."""
        return sum(f.bytes_after for f in self.finished)


def prepare(
    records: Sequence[VideoRecord],
    source: VideoSource,
    out_dir: str | Path,
    *,
    encoding: Encoding = Encoding(),  # noqa: B008 (immutable)
    workers: int = 2,
    progress: bool = True,
) -> tuple[Summary, list[BadVideo]]:
    raise NotImplementedError
