"""Re-encoding of many videos into one folder, by several processes, resumable.

::

    records, source -> OUT/same/names.mp4      see :class:`pvbias.transcoding.encoding.Encoding`
                       OUT/prepared.jsonl      one line a finished file; what a later run goes on from
                       OUT/bad_videos.jsonl    what could not be used, and why

Machines may each make a part of the files. So that no two of them write to one file, the lists of the third one are in
``OUT/shards/2``. What is finished is what any list says.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from tqdm import tqdm

from ..data.bad_videos import BadVideo, BadVideoLog, forget
from ..data.lookup import look_up
from ..data.manifest import FINISHED_FILE, Finished, list_folder, list_folders, read_finished
from ..data.records import VideoRecord, VideoSource
from ..data.workers import Crashes, Death, worker_context
from ..errors import ConfigError, DataError
from ..files import write_atomically
from ..shard import Shard
from ..storage import Address, is_address
from ..storage.addresses import on_a_disk
from ..storage.files import sizes
from ..storage.local_cache import current_cache
from ..storage.shards import path_in_store
from ..video.video import BadVideoError
from .encoding import Encoding, encode

logger = logging.getLogger(__name__)

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
class Outcome:
    """The outcome of :func:`encode_all`.

    Attributes:
        finished: by the name of the record, those of earlier runs included.
        resumed: how many of them are of earlier runs.
        bad: videos that cannot be used.
    """

    finished: dict[str, Finished]
    resumed: int
    bad: list[BadVideo]


def encode_all(
    jobs: Sequence[Job],
    source: VideoSource,
    out_dir: Path,
    encoding: Encoding,
    *,
    settings: Mapping[str, str] | None = None,
    workers: int,
    log: BadVideoLog,
    split: str = "",
    shard: Shard | None = None,
    progress: bool = True,
) -> Outcome:
    """Re-encode the file of each job.

    A run that is killed loses the files in work, no more: the next run with the same settings goes on. A bad video is
    reported and left out; the next run tries it again.

    Args:
        jobs: see :func:`plan_jobs`.
        source: opens their records; has to travel to other processes.
        out_dir: made when missing.
        encoding: how to write.
        settings: what else the files depend on; kept with the encoding.
        workers: processes, each with one decoding and encoding thread; 0: this process does the work.
        log: where bad videos are listed; it writes to ``list_folder(out_dir, shard)``.
        split: that they are listed under; what earlier runs listed under it is forgotten.
        shard: which of the jobs are done here, every ``shard.count``-th one; None: all.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: ``out_dir`` was begun with other settings, or a file would overwrite a source.
        DataError: more videos are missing than ``log`` allows (nothing is then done), a file cannot be written, or a
            worker process was killed.
    """
    check_overwriting([out_dir / job.target for job in jobs], [job.record.path for job in jobs])
    _keep_settings(out_dir, dataclasses.asdict(encoding) | dict(settings or {}))
    lists = list_folder(out_dir, shard)
    lists.mkdir(parents=True, exist_ok=True)
    for folder in [lists] if shard is not None else list_folders(out_dir):
        forget(folder, {split})
    look_up(source, log, split=split)
    if shard is not None:
        jobs = jobs[shard.index :: shard.count]
    _mend(lists / FINISHED_FILE)
    done = _finished_before(jobs, out_dir)
    outcome = Outcome(finished=done, resumed=len(done), bad=[])
    log.seen(len(done))
    waiting = [job for job in jobs if job.record.name not in done]
    waiting.sort(key=_extent, reverse=True)  # a large one that comes last would leave the other workers idle
    # A line every half minute is enough in a log file.
    pace = {} if sys.stderr.isatty() else {"mininterval": 30.0}
    with (
        open(lists / FINISHED_FILE, "a", encoding="utf-8") as finished_file,
        tqdm(total=len(jobs), initial=len(done), unit="file", desc=split or None, disable=not progress, **pace) as bar,
    ):
        for result in _results(waiting, source, out_dir, encoding, workers):
            if isinstance(result, Finished):
                done[result.name] = result
                log.seen()
                finished_file.write(json.dumps(dataclasses.asdict(result)) + "\n")
                finished_file.flush()
            else:
                result = dataclasses.replace(result, split=split)
                outcome.bad.append(result)
                log.add(result)
                bar.set_postfix(bad=len(outcome.bad))
            bar.update()
    return outcome


def plan_jobs(records: Sequence[VideoRecord]) -> list[Job]:
    """Make one job for each different file, each with a target of its own."""
    jobs: dict[str, Job] = {}
    taken: set[str] = set()
    for index, record in enumerate(records):
        if record.path in jobs:  # several parts of one file
            continue
        stem = _stem(record)
        target = f"{stem.as_posix()}.mp4"
        number = 2
        while target.lower() in taken:  # a.avi and a.mp4 in one folder
            target = f"{stem.as_posix()}_{number}.mp4"
            number += 1
        taken.add(target.lower())
        jobs[record.path] = Job(index=index, record=record, target=target)
    return list(jobs.values())


def _stem(record: VideoRecord) -> PurePath:
    """The new file's name without its suffix: the annotation's, or that of the folder that ``.`` and ``..`` mean."""
    own = PurePath(path_in_store(record.name) if is_address(record.name) else record.name)
    for name in (own, PurePath(PurePath(os.path.realpath(record.path)).name)):
        parts = [part for part in name.parts if part not in (name.anchor, "..")]
        if parts:
            return PurePath(*parts).with_suffix("")
    raise DataError(f"{record.name!r} ({record.path}) is the root of the file system, not a video.")


def check_overwriting(targets: Sequence[Path], sources: Sequence[str]) -> None:
    """Raise ConfigError where one of the files to be written is one of the sources."""
    real = {os.path.realpath(path) for path in sources if not is_address(path)}
    for target in targets:
        if os.path.realpath(target) in real:
            raise ConfigError(f"{target} would overwrite a source: give another output folder.")


def output_folder(out_dir: str | Path, data: str | Path | Address) -> Path:
    """The folder for new files of a data set.

    Raises:
        ConfigError: it is the address of an object store, or lies in the folder of the source videos: the next run
            would take the files for videos of it.
    """
    out_dir = Path(on_a_disk(str(out_dir)))
    if is_address(data):
        return out_dir
    folder, inner = os.path.realpath(str(data)), os.path.realpath(out_dir)
    if os.path.isdir(folder) and inner != folder and os.path.commonpath([folder, inner]) == folder:
        raise ConfigError(f"{out_dir} lies in {data}, whose videos it would soon be among: give a folder outside.")
    return out_dir


def _keep_settings(out_dir: Path, settings: dict[str, Any]) -> None:
    """Record the folder's settings, or raise ConfigError where it has others."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / SETTINGS_FILE
    if path.exists():
        # Settings that an earlier version did not have were as they are by default.
        before = dataclasses.asdict(Encoding()) | json.loads(path.read_text(encoding="utf-8"))
        if before != settings:
            raise ConfigError(
                f"{out_dir} was begun with {before}, not with {settings}: give another output folder, or the same "
                "settings."
            )
    else:
        # Others may begin at the same time, with the same settings.
        write_atomically(path, f"{json.dumps(settings)}\n".encode())


def _mend(finished: Path) -> None:
    """Remove a last line that was cut off by a kill, before others are appended."""
    if finished.exists():
        text = finished.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            finished.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


def _finished_before(jobs: Sequence[Job], out_dir: Path) -> dict[str, Finished]:
    """The files that earlier runs finished and that are unchanged, by name."""
    planned = {job.record.name: job for job in jobs}
    finished = {}
    for file in read_finished(out_dir):
        job = planned.get(file.name)
        if (
            job is not None
            and file.target == job.target
            and file.bytes_before == _size(job.record.path)
            and file.bytes_after == _size(out_dir / job.target)
        ):
            finished[file.name] = file
    return finished


def _results(
    jobs: Sequence[Job], source: VideoSource, out_dir: Path, encoding: Encoding, workers: int
) -> Iterator[Finished | BadVideo]:
    """The results of the jobs, in the order in which they end."""
    if workers == 0:
        for job in jobs:
            yield _reencode(job, source, out_dir, encoding)
        return
    crashes = Crashes()
    waiting = deque(jobs)
    running: dict[Future, Job] = {}
    while waiting:
        context = worker_context(__name__, type(source).__module__, sent=source)
        start = partial(ProcessPoolExecutor, workers, context, initializer=_start_worker)
        with start(initargs=(source, out_dir, encoding)) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * workers:
                        job = waiting.popleft()
                        running[pool.submit(_work, job)] = job
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        del running[future]
                        yield result
            except BrokenProcessPool:
                pass  # the pool ends the other workers
            except BaseException:
                context.kill()  # the pool would wait for what they have in work
                raise
        if running:
            _note(context.deaths(), crashes, jobs)
        # What was in work may be finished already; to do it again is no harm.
        for job in running.values():
            _temporary(out_dir / job.target).unlink(missing_ok=True)
            crash = crashes.error(job.index)
            if crash is None:
                waiting.appendleft(job)
            else:
                yield BadVideo.of(job.index, job.record, crash, split="")
        running.clear()


def _note(deaths: Sequence[Death], crashes: Crashes, jobs: Sequence[Job]) -> None:
    """Record crashes; raise DataError where other workers would crash, too."""
    names = {job.index: job.record.name for job in jobs}
    own = crashes.add(deaths)
    words = [f"{death}, at {names[death.record]}" if death.record in names else str(death) for death in own or deaths]
    died = ", ".join(words)
    if own:
        logger.warning("A worker process crashed: %s", died)
        return
    raise DataError(
        f"A worker process died ({died}): there may be too little memory. Finished files are kept: run again to go on, "
        "with fewer workers or without the file at fault. If it said above why it could not start, that is the reason."
    )


_worker_arguments: tuple[VideoSource, Path, Encoding]


def _start_worker(*arguments: object) -> None:
    """Store what all jobs of a worker share, so that it is sent once."""
    global _worker_arguments
    _worker_arguments = arguments  # type: ignore[assignment]


def _work(job: Job) -> Finished | BadVideo:
    with Crashes().at(job.index):
        return _reencode(job, *_worker_arguments)


def _reencode(job: Job, source: VideoSource, out_dir: Path, encoding: Encoding) -> Finished | BadVideo:
    """Do a job under a temporary name, so that a file under its own name is whole."""
    record, target = job.record, out_dir / job.target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
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


def _temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _extent(job: Job) -> int:
    """Bytes, where the source is one file; at no more cost than to look for it."""
    if is_address(job.record.path):
        return _size(job.record.path)
    try:
        return os.stat(job.record.path).st_size
    except OSError:
        return 0


def _size(path: str | Path) -> int:
    """Bytes of a file or of the images in a folder; 0 when it is not there."""
    if is_address(path):
        return sizes([str(path)], current_cache())[0] or 0
    path = Path(path)
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return path.stat().st_size if path.exists() else 0
