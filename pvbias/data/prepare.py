"""Re-encode a data set once, so that every epoch after that decodes little.

What a short clip costs is mostly the way to it from the key frame before, at full resolution. So: small frames, and key
frames close together.

::

    DATA (folder, .csv, .jsonl) -> OUT/same/names.mp4      H.264, no sound, upright, frames at the times they had
                                   OUT/<annotation>        with the new paths, where DATA is a file
                                   OUT/prepared.jsonl      one line a finished file; what a later run goes on from
                                   OUT/bad_videos.jsonl    what could not be used, and why
"""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

import numpy as np
from tqdm import tqdm

from ..errors import ConfigError, DataError
from .annotations import Annotation, read_annotation
from .bad_videos import BadVideo, BadVideoLog
from .encoding import Encoding, encode
from .source import VideoFiles
from .video import BadVideoError, VideoRecord, VideoSource

FINISHED_FILE = "prepared.jsonl"
SETTINGS_FILE = "prepared_with.json"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to re-encode.

    Attributes:
        index: position of the record in the annotation.
        record: the source.
        target: the new file, relative to the output folder.
    """

    index: int
    record: VideoRecord
    target: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One re-encoded file: a line of FINISHED_FILE.

    Attributes:
        name: as the annotation writes it.
        target: the new file, relative to the output folder.
        frames: how many.
        bytes_before, bytes_after: file sizes.
        squared_error: see :class:`pvbias.data.encoding.Encoded`.
    """

    name: str
    target: str
    frames: int
    bytes_before: int
    bytes_after: int
    squared_error: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What :func:`prepare` came to.

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
        """That of the worst file, dB; NaN without files."""
        return _decibels(max((file.squared_error for file in self.finished), default=math.nan))

    def __str__(self) -> str:
        files, encoding = self.finished, self.encoding
        before, after = sum(file.bytes_before for file in files), sum(file.bytes_after for file in files)
        causes = Counter(video.cause for video in self.bad)
        listed = ", ".join(f"{cause} {count}" for cause, count in causes.items())
        return f"""\
files     {len(files)} re-encoded ({self.resumed} of them before this run), {len(self.bad)} bad {listed}
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
    fps: float = 30.0,
    encoding: Encoding | None = None,
    workers: int = 2,
    max_bad_fraction: float = 0.1,
    progress: bool = True,
) -> Summary:
    """Re-encode every video of a data set into ``out_dir``.

    A run that is killed loses the files in work, no more: the next run with the same settings goes on. A bad file is
    reported and left out, also from the new annotation; the next run tries it again.

    Args:
        data: a folder, or an annotation file; see :func:`pvbias.data.annotations.read_annotation`.
        out_dir: made when missing.
        path_prefix: folder that relative paths in the annotation are relative to; empty: the annotation's own folder.
        fps: rate of the videos that are folders of frame images, frames per second.
        encoding: how to write; default: ``Encoding()``.
        workers: processes, each with one decoding and encoding thread; 0: this process does the work.
        max_bad_fraction: of the files, [0, 1].
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: ``out_dir`` was begun with other settings, or would overwrite a source.
        DataError: the annotation cannot be read, a file cannot be written, or more files are bad than allowed (all
            others are then finished).
    """
    begin = time.monotonic()
    data, out_dir, encoding = Path(data), Path(out_dir), encoding or Encoding()
    annotation = read_annotation(data, path_prefix=path_prefix)
    source = VideoFiles(annotation, fps=fps)
    jobs = _jobs(source.records)
    _check_overwriting(jobs, out_dir, data)
    _keep_settings(out_dir, encoding)
    done = _finished_before(jobs, out_dir)
    resumed = len(done)
    log = BadVideoLog(out_dir, max_bad_fraction)
    log.path.unlink(missing_ok=True)
    log.seen(resumed)
    bad: list[BadVideo] = []
    waiting = [job for job in jobs if job.record.name not in done]
    with (
        open(out_dir / FINISHED_FILE, "a", encoding="utf-8") as finished_file,
        tqdm(total=len(jobs), initial=resumed, unit="file", disable=not progress) as bar,
    ):
        for outcome in _outcomes(waiting, source, out_dir, encoding, workers):
            if isinstance(outcome, Finished):
                done[outcome.name] = outcome
                log.seen()
                finished_file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
                finished_file.flush()
            else:
                bad.append(outcome)
                log.add(outcome)
                bar.set_postfix(bad=len(bad))
            bar.update()
    if data.is_file():
        _write_annotation(out_dir / data.name, annotation, jobs, done)
    log.check()
    return Summary(
        encoding=encoding,
        finished=[done[job.record.name] for job in jobs if job.record.name in done],
        resumed=resumed,
        bad=bad,
        seconds=time.monotonic() - begin,
    )


def _jobs(records: Sequence[VideoRecord]) -> list[Job]:
    """One job for each different file, each with a target of its own."""
    jobs: dict[str, Job] = {}
    taken: set[str] = set()
    for index, record in enumerate(records):
        if record.path in jobs:  # several parts of one file
            continue
        name = PurePath(record.name)
        stem = PurePath(*(part for part in name.parts if part not in (name.anchor, ".."))).with_suffix("")
        target = f"{stem.as_posix()}.mp4"
        number = 2
        while target.lower() in taken:  # a.avi and a.mp4 in one folder
            target = f"{stem.as_posix()}_{number}.mp4"
            number += 1
        taken.add(target.lower())
        jobs[record.path] = Job(index=index, record=record, target=target)
    return list(jobs.values())


def _check_overwriting(jobs: Sequence[Job], out_dir: Path, data: Path) -> None:
    sources = {os.path.realpath(path) for path in [str(data), *(job.record.path for job in jobs)]}
    for target in (data.name, *(job.target for job in jobs)):
        if os.path.realpath(out_dir / target) in sources:
            raise ConfigError(f"{out_dir / target} would overwrite a source: give another output folder.")


def _keep_settings(out_dir: Path, encoding: Encoding) -> None:
    """One folder holds files of one encoding."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / SETTINGS_FILE
    settings = dataclasses.asdict(encoding)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != settings:
            raise ConfigError(
                f"{out_dir} was begun with {before}, not with {settings}: give another output folder, or the same "
                "settings."
            )
    else:
        path.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _finished_before(jobs: Sequence[Job], out_dir: Path) -> dict[str, Finished]:
    """What earlier runs finished and is still as they left it, by name."""
    path = out_dir / FINISHED_FILE
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):  # the run was killed while it wrote this line
        text = text[: text.rfind("\n") + 1]
        path.write_text(text, encoding="utf-8")
    lines = {file.name: file for file in (Finished(**json.loads(line)) for line in text.splitlines())}
    finished = {}
    for job in jobs:
        file = lines.get(job.record.name)
        if (
            file is not None
            and file.target == job.target
            and file.bytes_before == _size(job.record.path)
            and file.bytes_after == _size(out_dir / job.target)
        ):
            finished[file.name] = file
    return finished


def _outcomes(
    jobs: Sequence[Job], source: VideoSource, out_dir: Path, encoding: Encoding, workers: int
) -> Iterator[Finished | BadVideo]:
    """What comes of each job, in the order in which they end."""
    if workers == 0:
        for job in jobs:
            yield _reencode(job, source, out_dir, encoding)
        return
    waiting = iter(jobs)
    running: dict[Future, Job] = {}
    # Not forked: a child forked from a process that runs threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(source, out_dir, encoding)) as pool:
        while True:
            for job in islice(waiting, 2 * workers - len(running)):
                running[pool.submit(_work, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    names = ", ".join(job.record.name for job in running.values())
                    raise DataError(
                        f"A worker process died (no memory left, or a crash in the decoder) at one of: {names}. "
                        "Finished files are kept: run again to go on, with fewer workers or without the file at fault."
                    ) from error
                del running[future]
                yield outcome


_worker_arguments: tuple[VideoSource, Path, Encoding]


def _start_worker(*arguments: object) -> None:
    """Keep what all jobs of a worker share, so that it travels once; end the worker should the main process be
    killed."""
    global _worker_arguments
    _worker_arguments = arguments  # type: ignore[assignment]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _work(job: Job) -> Finished | BadVideo:
    return _reencode(job, *_worker_arguments)


def _reencode(job: Job, source: VideoSource, out_dir: Path, encoding: Encoding) -> Finished | BadVideo:
    """Do a job under a temporary name, so that a file under its own name is whole."""
    record, target = job.record, out_dir / job.target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.part")
    try:
        encoded = encode(source, record, temporary, encoding)
        os.replace(temporary, target)
    except BadVideoError as error:
        return BadVideo.of(job.index, record, error, split="")
    finally:
        temporary.unlink(missing_ok=True)
    return Finished(
        name=record.name,
        target=job.target,
        bytes_before=_size(record.path),
        bytes_after=_size(target),
        **dataclasses.asdict(encoded),
    )


def _write_annotation(path: Path, annotation: Annotation, jobs: Sequence[Job], done: Mapping[str, Finished]) -> None:
    """The annotation with the new paths, relative to itself."""
    targets = {job.record.path: job.target for job in jobs if job.record.name in done}
    lines = []
    for record in annotation.records:
        if record.path not in targets:
            continue
        named = annotation.class_names and record.label is not None
        label = annotation.class_names[record.label] if named else record.label  # type: ignore[index]
        if path.suffix == ".jsonl":
            entry = {"path": targets[record.path], "label": label, "start": record.start, "end": record.end}
            lines.append(json.dumps({key: value for key, value in entry.items() if value is not None}))
        else:
            lines.append(targets[record.path] + ("" if label is None else f" {label}"))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")


def _size(path: str | Path) -> int:
    """Bytes of a file or of the images in a folder; 0 when it is not there."""
    path = Path(path)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return path.stat().st_size if path.exists() else 0


def _decibels(squared_error: float) -> float:
    """Peak signal-to-noise ratio of 8-bit values; infinite for equal ones."""
    return 10 * math.log10(255**2 / squared_error) if squared_error else math.inf
