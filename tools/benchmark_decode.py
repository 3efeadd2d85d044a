"""Benchmark of decoding clips, beside torchcodec, decord and a plain PyAV loop.

python -m pvbias.tools.benchmark_decode videos/ --clips 5
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from pvbias.data.annotations import read_annotation
from pvbias.data.sampling import TemporalSampling
from pvbias.data.transforms import short_side_to
from pvbias.errors import DataError
from pvbias.storage import is_address
from pvbias.video import BadVideoError
from pvbias.video.decoding import FileVideo
from pvbias.video.packets import forget_indexes

#: What is timed: frames in a clip, seconds of a clip, uniform clips of a video, length of the short side.
NUM_FRAMES, DURATION, UNIFORM_CLIPS, SHORT_SIDE = 16, 1.0, 10, 128


@dataclass(frozen=True, kw_only=True)
class Job:
    """Frames to read from a file, all at once.

    Attributes:
        times: seconds, ascending.
        frames: their numbers, for readers that count frames.
        size: height and width to scale to, pixels.
    """

    path: str
    times: np.ndarray
    frames: np.ndarray
    size: tuple[int, int]


Reader = Callable[[Job], object]


def read_pvbias(job: Job) -> np.ndarray:
    """Read as a data loader does on the first visit to a file."""
    forget_indexes()
    return read_again(job)


def read_again(job: Job) -> np.ndarray:
    """Read as a data loader does in later epochs, when the process has the file's packet index."""
    with closing(FileVideo(job.path)) as video:
        return video.read(job.times.tolist(), lambda height, width: job.size)


def read_pyav(job: Job) -> np.ndarray:
    """Read with plain PyAV: seek to the key frame before, decode on, one reused reformatter, no threads."""
    reformatter = VideoReformatter()
    images: list[np.ndarray] = []
    with av.open(job.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        origin = stream.start_time or 0
        wanted = [origin + round(seconds / stream.time_base) for seconds in job.times]
        container.seek(wanted[0], stream=stream)
        previous = None
        for frame in container.decode(stream):
            while previous is not None and len(images) < len(wanted) and wanted[len(images)] < (frame.pts or 0):
                images.append(_scaled(reformatter, previous, job.size))
            previous = frame
            if len(images) == len(wanted):
                break
        while previous is not None and len(images) < len(wanted):
            images.append(_scaled(reformatter, previous, job.size))
    return np.stack(images)


def _scaled(reformatter: VideoReformatter, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    return reformatter.reformat(frame, width=size[1], height=size[0], format="rgb24", threads=1).to_ndarray()


def torchcodec_reader(seek_mode: Literal["exact", "approximate"]) -> Reader:
    """A reader by torchcodec with its resizing in the decoder."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def read(job: Job) -> object:
        decoder = VideoDecoder(
            job.path, num_ffmpeg_threads=1, transforms=[Resize(job.size)], seek_mode=seek_mode, dimension_order="NHWC"
        )
        metadata = decoder.metadata
        first, end = metadata.begin_stream_seconds or 0.0, metadata.end_stream_seconds or float("inf")
        seconds = np.minimum(first + job.times + 1e-3, end - 1e-3)
        return decoder.get_frames_played_at(seconds.tolist()).data

    return read


def decord_reader() -> Reader:
    """A reader by decord on one thread, scaling in the decoder."""
    import decord

    def read(job: Job) -> object:
        reader = decord.VideoReader(job.path, width=job.size[1], height=job.size[0], num_threads=1)
        return reader.get_batch(np.minimum(job.frames, len(reader) - 1)).asnumpy()

    return read


def readers(sample: Job) -> tuple[dict[str, Reader], list[str]]:
    """The readers that can decode ``sample`` here, by name, pvbias first; and a line on each that cannot."""
    found: dict[str, Reader] = {
        "pvbias": read_pvbias,
        "pvbias, file seen before": read_again,
        "PyAV by hand": read_pyav,
    }
    others = {
        "torchcodec exact": lambda: torchcodec_reader("exact"),
        "torchcodec approximate": lambda: torchcodec_reader("approximate"),
        "decord": decord_reader,
    }
    notes = []
    for name, make in others.items():
        try:
            read = make()
            read(sample)
        except ImportError as error:
            notes.append(f"not timed: {name}: {error} (pip install 'pvbias[benchmark]')")
        except (
            OSError,
            RuntimeError,
        ) as error:  # torchcodec wants a shared FFmpeg and says so at length when it has none
            notes.append(f"not timed: {name}: {str(error).strip().splitlines()[0]}")
        else:
            found[name] = read
    return found, notes


def make_jobs(paths: Sequence[str], clips: int, seed: int = 0) -> tuple[list[Job], list[Job]]:
    """Single clips (``clips`` of each file, anywhere in it), and UNIFORM_CLIPS clips of each file.

    Files that cannot be read are left out.
    """
    rng = np.random.default_rng(seed)
    sampling = TemporalSampling(num_frames=NUM_FRAMES, step=DURATION / NUM_FRAMES, num_clips=UNIFORM_CLIPS)
    single, uniform = [], []
    for path in paths:
        try:
            with closing(FileVideo(path)) as video:
                shape: list[tuple[int, int]] = []
                video.read([0.0], lambda h, w, shape=shape: shape.append((h, w)) or (1, 1))  # type: ignore[misc]
                size = short_side_to(SHORT_SIDE, *shape[0])

                def job(times: np.ndarray, video: FileVideo = video, size: tuple[int, int] = size) -> Job:
                    times = np.unique(times)
                    numbers = np.searchsorted(video.timestamps, times + 1e-3, side="right") - 1
                    return Job(path=video.path, times=times, frames=numbers, size=size)

                single += [job(sampling.random_clip(0.0, video.duration, rng)) for _ in range(clips)]
                uniform.append(job(sampling.test_clips(0.0, video.duration)))
        except BadVideoError as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
    if not single:
        raise DataError("None of the files can be decoded: there is nothing to time.")
    return single, uniform


#: Milliseconds of a reader on each job: wall clock and processor; NaN where it failed.
Times = dict[str, list[tuple[float, float]]]


def time_readers(found: dict[str, Reader], jobs: Sequence[Job], repeats: int) -> Times:
    """Times of all readers on all jobs, each the median over ``repeats``; the readers take turns on every job."""
    times: Times = {name: [] for name in found}
    for job in jobs:
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
        for _ in range(repeats + 1):  # the first one brings the file into memory and is not counted
            for name, read in found.items():
                begin = time.perf_counter(), time.process_time()
                try:
                    read(job)
                except (RuntimeError, ValueError, IndexError):  # what readers raise for files that they cannot read
                    turns[name].append((float("nan"), float("nan")))
                else:
                    end = time.perf_counter(), time.process_time()
                    turns[name].append(((end[0] - begin[0]) * 1000, (end[1] - begin[1]) * 1000))
        for name, values in turns.items():
            wall, processor = np.median(values[1:], axis=0)
            times[name].append((float(wall), float(processor)))
    return times


def table(title: str, times: Times) -> str:
    """Medians and means over the jobs that every reader can do, and their ratio to the first reader's."""
    values = {name: np.array(pairs) for name, pairs in times.items() if np.isfinite(pairs).any()}
    hopeless = [name for name in times if name not in values]
    common = np.isfinite(np.stack(list(values.values()))).all((0, 2))
    base = next(iter(values.values()))[common]
    heads = ("median wall", "ratio", "mean wall", "ratio", "mean CPU", "ratio", "failed")
    lines = [
        f"{title} ({common.sum()} of {len(common)}: those that all can do)",
        f"  {'':26}" + "".join(f"{head:>12}" for head in heads),
    ]
    for name, rows in values.items():
        wall, processor = rows[common].T
        figures = (np.median(wall), wall.mean(), processor.mean())
        bases = (np.median(base[:, 0]), base[:, 0].mean(), base[:, 1].mean())
        pairs = "".join(f"{figure:12.1f}{figure / first:12.2f}" for figure, first in zip(figures, bases, strict=True))
        lines.append(f"  {name:26}{pairs}{int(np.isnan(rows[:, 0]).sum()):12d}")
    lines += [f"  {name:26}   fails on every file" for name in hopeless]
    return "\n".join(lines)


def decode_benchmark(paths: Sequence[str], *, clips: int = 5, repeats: int = 3) -> str:
    """Time all readers on the same clips, in one process and on one thread.

    Args:
        paths: video files.
        clips: single clips of each file.
        repeats: times each of them is decoded by each reader.

    Returns:
        Two tables.
    """
    torch.set_num_threads(1)
    single, uniform = make_jobs(paths, clips)
    found, notes = readers(single[0])
    what = f"{NUM_FRAMES} frames, short side {SHORT_SIDE}, ms a clip"
    return "\n".join(
        [
            table(f"one clip of {DURATION:g} s anywhere, {what}", time_readers(found, single, repeats)),
            table(f"{UNIFORM_CLIPS} uniform clips at once, ms a video", time_readers(found, uniform, repeats)),
            *notes,
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of videos, or an annotation")
    parser.add_argument("--clips", type=int, default=5, help="clips of each file (default: 5)")
    parser.add_argument("--repeats", type=int, default=3, help="times each clip is decoded by each reader (default: 3)")
    parser.add_argument("--files", type=int, default=20, help="files at most, spread over the data (default: 20)")
    arguments = parser.parse_args(argv)
    paths = [record.path for record in read_annotation(arguments.data).records]
    if any(map(is_address, paths)):
        raise DataError(f"{arguments.data}: readers are compared on files of a disk: `pvbias prepare` makes some.")
    step = max(len(paths) // arguments.files, 1)
    print(decode_benchmark(paths[::step][: arguments.files], clips=arguments.clips, repeats=arguments.repeats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
