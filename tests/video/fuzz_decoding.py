"""Damaged files by the thousand: no crash, no hang, and no frame that depends on how it is asked for.

Run by hand, not by the suite::

    python -m tests.video.fuzz_decoding --files 1000

Small videos of several codecs and containers are damaged at random (seeded): bytes changed, zeroed, cut out, repeated.
Each file is read in a process of its own: all frames at once, each alone on a first and on a later visit, and random
subsets. A frame that is given must always be the same; one that is refused must always be refused.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from pvbias.video import BadVideoError
from pvbias.video.decoding import FileVideo
from pvbias.video.packets import forget_indexes

from .videos import write_video

FRAMES = 30

#: file name -> options of :func:`write_video`
KINDS = {
    "h264.mp4": {"x264-params": "bframes=2:keyint=10"},
    "h264_open_gop.mkv": {"x264-params": "open-gop=1:bframes=3:keyint=10:scenecut=0"},
    "h264.avi": {"x264-params": "bframes=2:keyint=10"},
    "h264_plain.avi": {"x264-params": "bframes=0:keyint=10"},
    "h264.ts": {"x264-params": "bframes=2:keyint=10"},
    "h264.flv": {"x264-params": "bframes=2:keyint=10"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "10"},
    "mpeg4_b.avi": {"codec": "mpeg4", "g": "10", "bf": "2"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "10", "bf": "2"},
    "mpeg1.mpg": {"codec": "mpeg1video", "g": "10", "bf": "2"},
    "mpeg2.ts": {"codec": "mpeg2video", "g": "10", "bf": "2"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "10", "deadline": "realtime", "cpu-used": "8"},
    "vp8.webm": {"codec": "libvpx", "g": "10", "deadline": "realtime", "cpu-used": "8"},
    "mjpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


def damage(data: bytes, generator: np.random.Generator) -> bytes:
    """A copy with one kind of damage, in one to four places."""
    damaged = bytearray(data)
    kind = generator.choice(["change", "zero", "cut out", "repeat", "cut off"])
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(16, len(damaged)))
        length = int(min(len(damaged) - at, 2 ** generator.uniform(0, 9)))
        if kind == "change":
            damaged[at : at + min(length, 8)] = generator.bytes(min(length, 8))
        elif kind == "zero":
            damaged[at : at + length] = bytes(length)
        elif kind == "cut out":
            del damaged[at : at + length]
        elif kind == "repeat":
            damaged[at:at] = damaged[at : at + length]
        elif len(damaged) > len(data) // 2:
            del damaged[max(at, len(data) // 2) :]
    return bytes(damaged)


def images_at(video: FileVideo, times: list[float]) -> list[bytes | str]:
    """The images shown then, or why there are none."""
    try:
        return [frame.tobytes() for frame in video.read(times, lambda height, width: (24, 32))]
    except BadVideoError as error:
        return [error.cause] * len(times)


def check(path: str) -> str:
    """ "ok", the cause why the file is bad, or what depends on how it was asked for."""
    av.logging.set_level(av.logging.PANIC)
    forget_indexes()
    try:
        with closing(FileVideo(path)) as video:
            times = video.timestamps.tolist()
            together = images_at(video, times)
    except BadVideoError as error:
        return error.cause
    alone = []
    for time in times:
        forget_indexes()
        with closing(FileVideo(path)) as video:
            alone += images_at(video, [time])
    generator = np.random.default_rng(0)
    forget_indexes()
    for _ in range(20):
        chosen = generator.integers(0, len(times), generator.integers(1, 9)).tolist()
        with closing(FileVideo(path)) as video:
            if video.timestamps.tolist() != times:
                return "WRONG: other times on another visit"
            some = images_at(video, [times[number] for number in chosen])
            if isinstance(some[0], str):  # one of them cannot be had
                if all(isinstance(alone[number], bytes) for number in chosen):
                    return "WRONG: frames are refused together and given alone"
            elif some != [alone[number] for number in chosen]:
                return "WRONG: frames of a subset are others than alone"
    if isinstance(together[0], bytes) and together != alone:
        return "WRONG: frames read together are others than alone"
    return "ok" if isinstance(together[0], bytes) else together[0]


def outcomes(paths: Sequence[Path], processes: int, seconds: float) -> Iterator[tuple[Path, str]]:
    """:func:`check` of all files in other processes, which may die or hang; each file then by itself, to know which."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("forkserver")) as pool:
        futures = [pool.submit(check, str(path)) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            try:
                yield path, future.result(seconds * (1 if len(paths) == 1 else len(paths)))
            except (BrokenProcessPool, TimeoutError) as error:
                for process in multiprocessing.active_children():
                    process.kill()
                if len(paths) == 1:
                    died = isinstance(error, BrokenProcessPool)
                    yield path, "WRONG: the process died" if died else f"WRONG: no answer for {seconds:g} s"
                    return
                break
        else:
            return
    for path in paths:
        yield from outcomes([path], 1, seconds)


def main() -> None:
    """Damage files, read them, and print how many came to what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file: its seed")
    parser.add_argument("--seconds", type=float, default=60, help="that one file may take")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the files that went wrong")
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload([check.__module__])
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        whole = {name: write_video(Path(folder) / name, FRAMES, **options) for name, options in KINDS.items()}
        numbers = range(args.first, args.first + args.files)
        for batch in (numbers[start : start + 50] for start in range(0, len(numbers), 50)):
            paths = []
            for number in batch:
                name = list(KINDS)[number % len(KINDS)]
                paths.append(Path(folder) / f"{number}_{name}")
                paths[-1].write_bytes(damage(whole[name].read_bytes(), np.random.default_rng(number)))
            results = dict(outcomes(paths, args.processes, args.seconds))
            for path, result in results.items():
                counts[result] += 1
                if result.startswith("WRONG"):
                    print(f"{path.name}: {result}", flush=True)
                    if args.keep:
                        args.keep.mkdir(parents=True, exist_ok=True)
                        (args.keep / path.name).write_bytes(path.read_bytes())
                path.unlink()
    for result, count in counts.most_common():
        print(f"{count:6} {result}")
    if any(result.startswith("WRONG") for result in counts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
