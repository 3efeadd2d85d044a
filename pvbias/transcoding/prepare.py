"""Re-encoding of a data set, with its annotation (`pvbias prepare`).

What a short clip costs is mostly the way to it from the key frame before, at full resolution. So: small frames, and key
frames close together.

::

    DATA (folder, .csv, .jsonl) -> OUT/same/names.mp4      H.264, no sound, upright, frames at the times they had
                                   OUT/<annotation>        with the new paths, where DATA is a file (.jsonl for .json)
                                   OUT/class_names.txt     where it lies beside the annotation
                                   OUT/prepared.jsonl      one line a finished file; what a later run goes on from
                                   OUT/bad_videos.jsonl    what could not be used, and why
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.annotations import CLASS_NAMES, Annotation, Listed, json_lines, read_annotation, text_lines
from ..data.bad_videos import BadVideo, BadVideoLog, count_causes
from ..data.manifest import Finished, list_folder
from ..data.source import VideoFiles
from ..shard import Shard
from ..storage import Address, expand
from ..storage.shards import is_shards
from .batch_encoding import Job, check_overwriting, encode_all, output_folder, plan_jobs
from .encoding import Encoding


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of :func:`prepare`.

    Attributes:
        encoding: the settings.
        finished: all re-encoded files, those of earlier runs included.
        resumed: how many of them are of earlier runs.
        bad: files that cannot be used.
        seconds: this run took.
    """

    encoding: Encoding
    finished: Sequence[Finished]
    resumed: int
    bad: Sequence[BadVideo]
    seconds: float

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio over the sampled frames of all files, dB; NaN without files."""
        errors = [file.squared_error for file in self.finished]
        return _decibels(float(np.mean(errors))) if errors else math.nan

    @property
    def lowest_psnr(self) -> float:
        """Peak signal-to-noise ratio of the worst file, dB; NaN without files."""
        return _decibels(max((file.squared_error for file in self.finished), default=math.nan))

    def __str__(self) -> str:
        files, encoding = self.finished, self.encoding
        before, after = sum(file.bytes_before for file in files), sum(file.bytes_after for file in files)
        return f"""\
files     {len(files)} re-encoded ({self.resumed} of them before this run), {len(self.bad)} bad {count_causes(self.bad)}
frames    {sum(file.frames for file in files):,}
size      {before / 2**20:,.1f} MiB before, {after / 2**20:,.1f} MiB after
encoding  H.264, short side {encoding.short_side} at most, a key frame every {encoding.gop} frames
quality   CRF {encoding.crf}; PSNR {self.psnr:.1f} dB to the resized source ({self.lowest_psnr:.1f} in the worst file)
time      {self.seconds:.1f} s"""


def prepare(
    data: str | Path,
    out_dir: str | Path,
    *,
    path_prefix: str = "",
    list_format: str = "auto",
    fps: float = 30.0,
    frame_prefix: str | None = None,
    encoding: Encoding | None = None,
    workers: int = 2,
    max_bad_fraction: float = 0.1,
    shard: Shard | None = None,
    progress: bool = True,
) -> Summary:
    """Re-encode every video of a data set into ``out_dir``.

    A run that is killed loses the files in work, no more: the next run with the same settings goes on. A bad file is
    reported and left out, also from the new annotation; the next run tries it again.

    Args:
        data: a folder, an annotation file, or tar files, on a disk or at an address; see
            :func:`pvbias.data.annotations.read_annotation`.
        out_dir: made when missing.
        path_prefix: folder that relative paths in the annotation are relative to; empty: the annotation's own folder.
        list_format: DATA.LIST_FORMAT.
        fps: rate of the videos that are folders of frame images, frames per second.
        frame_prefix: what the names of their images begin with; see :mod:`pvbias.video.frame_folder`.
        encoding: how to write; default: ``Encoding()``.
        workers: processes, each with one decoding and encoding thread; 0: this process does the work.
        max_bad_fraction: of the files, [0, 1].
        shard: the part of the videos to re-encode, while others do theirs; a run without it then goes on from all of
            them and writes the new annotation. None: all videos.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: ``out_dir`` is an address, was begun with other settings, lies in ``data``, or would overwrite a
            source.
        DataError: the annotation cannot be read, more files are missing than may be bad (nothing is then done), a file
            cannot be written, or more files are bad than allowed (all others are then finished).
    """
    begin = time.monotonic()
    out_dir, listing, encoding = output_folder(out_dir, data), expand(data), encoding or Encoding()
    annotation = read_annotation(listing, path_prefix=path_prefix, list_format=list_format)
    source = VideoFiles(annotation, fps=fps, frame_prefix=frame_prefix)
    jobs = plan_jobs(source.records)
    listed = is_shards(listing) or listing.is_file()
    new_list = out_dir / _list_name(listing)
    if listed:
        check_overwriting([new_list], [str(data)])
    log = BadVideoLog(list_folder(out_dir, shard), max_bad_fraction)
    outcome = encode_all(jobs, source, out_dir, encoding, workers=workers, log=log, shard=shard, progress=progress)
    done = outcome.finished
    if listed and shard is None:
        _write_annotation(new_list, annotation, jobs, done)
    log.check()
    return Summary(
        encoding=encoding,
        finished=[done[job.record.name] for job in jobs if job.record.name in done],
        resumed=outcome.resumed,
        bad=outcome.bad,
        seconds=time.monotonic() - begin,
    )


def _list_name(data: Path | Address) -> str:
    """The name of the new annotation: tar files, whose labels are in them, get one, too."""
    if is_shards(data):
        return f"{data.stem.partition('{')[0].rstrip('-_.') or 'videos'}.jsonl"
    return f"{data.stem}.jsonl" if data.suffix == ".json" else data.name


def _write_annotation(path: Path, annotation: Annotation, jobs: Sequence[Job], done: Mapping[str, Finished]) -> None:
    """Write the annotation with the new paths, relative to itself, as JSON lines or as text, whatever the old one
    is."""
    targets = {job.record.path: job.target for job in jobs if job.record.name in done}
    videos = []
    for record in annotation.records:
        if record.path in targets:
            named = annotation.class_names and record.label is not None
            label = annotation.class_names[record.label] if named else record.label  # type: ignore[index]
            videos.append(Listed(targets[record.path], label, record))
    lines = json_lines(videos) if path.suffix in {".jsonl", ".ndjson"} else text_lines(videos)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    if annotation.class_names and not annotation.own_names:
        names = "".join(f"{name}\n" for name in annotation.class_names)
        (path.parent / CLASS_NAMES).write_text(names, encoding="utf-8")


def _decibels(squared_error: float) -> float:
    """Peak signal-to-noise ratio of 8-bit values; infinite for equal ones."""
    return 10 * math.log10(255**2 / squared_error) if squared_error else math.inf
