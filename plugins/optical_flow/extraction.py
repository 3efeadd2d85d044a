"""Extraction of the optical flow of a data set to files, once before training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvbias.data.annotations import read_annotation
from pvbias.data.bad_videos import BadVideo, BadVideoLog, count_causes
from pvbias.data.manifest import Finished, list_folder
from pvbias.data.source import VideoFiles
from pvbias.registries import FLOW
from pvbias.shard import Shard
from pvbias.transcoding.batch_encoding import encode_all, output_folder, plan_jobs
from pvbias.transcoding.encoding import Encoding
from pvbias.video.flow_coding import BOUND

from .estimated import EstimatedFlow


@dataclass(frozen=True, kw_only=True)
class FlowSummary:
    """The outcome of :func:`extract_flow`.

    Attributes:
        method: of estimation.
        finished: all files, those of earlier runs included.
        resumed: how many of them are of earlier runs.
        bad: videos that cannot be used.
        seconds: this run took.
    """

    method: str
    finished: Sequence[Finished]
    resumed: int
    bad: Sequence[BadVideo]
    seconds: float

    def total(self, figure: str) -> float:
        """Sum of one of the figures of :class:`.FlowVideo` over all files."""
        return sum(file.figures[figure] for file in self.finished)

    @property
    def clipped(self) -> float:
        """Fraction of the vectors that are beyond +-20 pixels and were clipped; 0 without vectors."""
        return self.total("clipped") / max(self.total("vectors"), 1)

    @property
    def seconds_per_pair(self) -> float:
        """Seconds to estimate the flow between two frames, in one process; 0 without pairs."""
        return self.total("seconds") / max(self.total("pairs"), 1)

    def __str__(self) -> str:
        files, listed = self.finished, count_causes(self.bad)
        size = sum(file.bytes_after for file in files)
        frames = sum(file.frames for file in files)
        return f"""\
files    {len(files)} of optical flow ({self.resumed} of them before this run), {len(self.bad)} bad {listed}
frames   {frames:,}
size     {size / 2**20:,.1f} MiB, {size / 2**10 / max(frames, 1):.1f} KiB a frame
flow     {self.method}, {1000 * self.seconds_per_pair:.1f} ms a pair of frames
clipped  {self.clipped:.2%} of the vectors, beyond +-{BOUND:g} pixels
time     {self.seconds:.1f} s"""


def extract_flow(
    data: str | Path,
    out_dir: str | Path,
    *,
    method: str = "tvl1",
    short_side: int = 128,
    path_prefix: str = "",
    list_format: str = "auto",
    fps: float = 30.0,
    frame_prefix: str | None = None,
    workers: int = 2,
    max_bad_fraction: float = 0.1,
    shard: Shard | None = None,
    progress: bool = True,
) -> FlowSummary:
    """Estimate the optical flow of every video of a data set, for ``DATA.FLOW_DIR``.

    A run that is killed loses the files in work, no more: the next run with the same settings goes on. A bad video is
    reported and left out; the next run tries it again.

    Args:
        data: a folder, or an annotation file; see :func:`pvbias.data.annotations.read_annotation`.
        out_dir: made when missing.
        method: an entry of :data:`pvbias.registries.FLOW`.
        short_side: of the frames that flow is estimated between, pixels, >= 16; smaller videos keep their size.
        path_prefix: folder that relative paths in the annotation are relative to; empty: the annotation's own folder.
        list_format: DATA.LIST_FORMAT.
        fps: rate of the videos that are folders of frame images, frames per second.
        frame_prefix: what the names of their images begin with; see :mod:`pvbias.video.frame_folder`.
        workers: processes, each on one thread; 0: this process does the work.
        max_bad_fraction: of the videos, [0, 1].
        shard: the part of the videos to do, while others do theirs; a run without it then goes on from all of them.
            None: all videos.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the method is not known or not installed, or ``out_dir`` was begun with other settings, lies
            in ``data``, or would overwrite a source.
        WeightsError: the method's weights cannot be had.
        DataError: the annotation cannot be read, more videos are missing than may be bad (nothing is then done), a file
            cannot be written, or more videos are bad than allowed (all others are then finished).
    """
    begin = time.monotonic()
    out_dir, build = output_folder(out_dir, data), FLOW.get(method)
    build()  # says at once what is missing, and fetches weights once
    annotation = read_annotation(data, path_prefix=path_prefix, list_format=list_format)
    source = VideoFiles(annotation, fps=fps, frame_prefix=frame_prefix)
    jobs = plan_jobs(source.records)
    log = BadVideoLog(list_folder(out_dir, shard), max_bad_fraction)
    outcome = encode_all(
        jobs,
        EstimatedFlow(source, build),
        out_dir,
        Encoding(short_side=short_side, lossless=True),
        settings={"flow": method},
        workers=workers,
        log=log,
        split=Path(data).name,  # so that the bad videos of several annotations are listed side by side
        shard=shard,
        progress=progress,
    )
    log.check()
    return FlowSummary(
        method=method,
        finished=[outcome.finished[job.record.name] for job in jobs if job.record.name in outcome.finished],
        resumed=outcome.resumed,
        bad=outcome.bad,
        seconds=time.monotonic() - begin,
    )
