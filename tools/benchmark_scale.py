"""Growth of time and memory with the work: bad files, views, videos, classes, lines of a list, hours of video.

Each time is the CPU time of this process, at some size and at four times that, and their ratio is to be at most 4.2.
Memory is that of a process that does nothing else, by what it grows from one size to the other. Everything but the hour
of video is made up; the network does next to nothing, so that what is left is the work around it. Exit code 1 where
something is above its bound.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from fvcore.common.config import CfgNode
from tabulate import tabulate
from torch import Tensor, nn

from pvbias.clips import ClipSpec
from pvbias.config import load_cfg
from pvbias.data import BadVideo, BadVideoLog, MadeRecords, VideoRecord, build_source
from pvbias.data.workers import worker_context
from pvbias.machine import prepare_process
from pvbias.models import Recognizer
from pvbias.registries import DATASET
from pvbias.run import measure
from pvbias.video import FrameSize

#: Bounds of what is printed.
RATIO, VIDEO_BYTES, LINE_BYTES, HOUR_MIB = 4.2, 2000, 100, 600

_MADE_UP = "made_up_by_benchmark_scale"
_FPS = 10.0

EXAMPLES = """examples:
  pvbias benchmark scale
  # a few seconds, to see what it does
  pvbias benchmark scale --only files views classes --files 500 --views 400 --classes 30"""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: was done.
        sizes: at which.
        measured: of each size, with its unit.
        value: what counts.
        bound: what it may be at most.
        unit: of both.
    """

    what: str
    sizes: str
    measured: str
    value: float
    bound: float
    unit: str


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias benchmark scale",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--files", type=int, default=16_000, help="bad files (default %(default)s)")
    parser.add_argument("--views", type=int, default=11_200, help="views of one video (default %(default)s)")
    parser.add_argument("--videos", type=int, default=64_000, help="videos of 400 classes (default %(default)s)")
    parser.add_argument("--classes", type=int, default=3_000, help="of twice as many videos (default %(default)s)")
    parser.add_argument("--lines", type=int, default=400_000, help="lines of a list (default %(default)s)")
    parser.add_argument("--minutes", type=int, default=60, help="of the video tested by windows (default %(default)s)")
    args = parser.parse_args(argv)
    prepare_process()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for part in args.only:
            rows += PARTS[part](Path(folder), args)
    table = [
        (row.what, row.sizes, row.measured, f"{row.value:.4g} {row.unit}".strip(), f"{row.bound:g}", _verdict(row))
        for row in rows
    ]
    print(tabulate(table, headers=("", "sizes", "measured", "value", "bound", "")))
    return int(any(row.value > row.bound for row in rows))


def _verdict(row: Row) -> str:
    return "" if row.value <= row.bound else "ABOVE"


def _growth(what: str, size: int, seconds: Callable[[int], float]) -> Row:
    """Time something at a fourth of a size and at the whole."""
    seconds(min(size // 4, 100))  # what happens once
    small, large = seconds(size // 4), seconds(size)
    return _time_row(what, size, small, large)


def _time_row(what: str, size: int, small: float, large: float) -> Row:
    return Row(what, f"{size // 4:,} / {size:,}", f"{small:.2f} / {large:.2f} s", large / small, RATIO, "x")


def _files(folder: Path, args: argparse.Namespace) -> list[Row]:
    def once(count: int) -> float:
        log = BadVideoLog(tempfile.mkdtemp(dir=folder), max_fraction=1.0)
        start = time.process_time()
        for index in range(count):
            log.add(BadVideo(index=index, path=f"videos/{index}.mp4", name=f"{index}.mp4", cause="missing"))
        log.summary()
        return time.process_time() - start

    # A second or two: the best of three, since other work on the machine counts for more than in the other parts.
    return [_growth("bad files", args.files, lambda count: min(once(count) for _ in range(3)))]


def _views(folder: Path, args: argparse.Namespace) -> list[Row]:
    def seconds(count: int) -> float:
        return _measured(folder / f"views_{count}", videos=1, views=count)[0]

    return [_growth("views of a video", args.views, seconds)]


def _classes(folder: Path, args: argparse.Namespace) -> list[Row]:
    def seconds(count: int) -> float:
        return _measured(folder / f"classes_{count}", videos=2 * args.classes, classes=count)[0]

    return [_growth("classes", args.classes, seconds)]


def _videos(folder: Path, args: argparse.Namespace) -> list[Row]:
    size = args.videos
    (small, before), (large, after) = (
        _in_new_process(_measured, folder / f"videos_{count}", videos=count) for count in (size // 4, size)
    )
    grown = (after - before) * 2**20 / (size - size // 4)
    memory = f"{before:.0f} / {after:.0f} MiB"
    return [
        _time_row("videos", size, small, large),
        Row("memory of the main process", f"{size // 4:,} / {size:,}", memory, grown, VIDEO_BYTES, "B a video"),
    ]


def _lines(folder: Path, args: argparse.Namespace) -> list[Row]:
    size = args.lines
    before, after = (_in_new_process(_worker_memory, folder, count) for count in (size // 4, size))
    grown = (after - before) * 2**20 / (size - size // 4)
    memory = f"{before:.0f} / {after:.0f} MiB"
    return [Row("memory of a worker", f"{size // 4:,} / {size:,}", memory, grown, LINE_BYTES, "B a line")]


def _hour(folder: Path, args: argparse.Namespace) -> list[Row]:
    views, seconds, before, peak = _in_new_process(_by_windows, folder, args.minutes)
    name = f"{args.minutes} minutes by windows, 224 pixels"
    memory = f"{seconds:.0f} s, {before:.0f} / {peak:.0f} MiB"
    return [Row(name, f"two short videos / {views:,} views", memory, peak - before, HOUR_MIB, "MiB more")]


#: What can be measured, by the name for --only.
PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "files": _files,
    "views": _views,
    "videos": _videos,
    "classes": _classes,
    "lines": _lines,
    "hour": _hour,
}


def _made_up_record(classes: int, number: int) -> VideoRecord:
    """The record of a video that is nowhere."""
    name = f"class {number % classes}/video {number}.mp4"
    return VideoRecord(path=name, name=name, label=number % classes)


class _MadeUpVideo:
    """Grey frames, ten a second."""

    def __init__(self, frames: int) -> None:
        self.timestamps = np.arange(frames) / _FPS
        self.duration = frames / _FPS

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        """The frames."""
        height, width = size(16, 16)
        levels = (10 * np.asarray(times)).round().astype(np.uint8)
        return np.broadcast_to(levels[:, None, None, None], (len(times), height, width, 3)).copy()

    def close(self) -> None:
        """Nothing is open."""


class _MadeUpSource:
    """Made-up videos; DATA.TEST_SPLIT has their number, that of the classes, and that of the frames of each."""

    def __init__(self, cfg: CfgNode, split: str) -> None:
        videos, classes, self._frames = map(int, cfg.DATA.TEST_SPLIT.split("-"))
        self.records = MadeRecords(videos, partial(_made_up_record, classes))
        self.class_names = [f"class {number}" for number in range(classes)]
        self.description = f"{videos} made-up videos"

    def open(self, record: VideoRecord) -> _MadeUpVideo:
        """Open a video."""
        return _MadeUpVideo(self._frames)


class _Tiny(nn.Module):
    """The mean over all positions, and a classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """``(N, 3, T, H, W) -> (N, K)``."""
        return self.head(clip.mean((2, 3, 4)))


def _measured(folder: Path, *, videos: int, views: int = 1, classes: int = 400) -> tuple[float, float]:
    """Measure made-up videos with everything that is measured by default, and write the results.

    Args:
        folder: of the results.
        videos: how many.
        views: of each.
        classes: of the videos, and the network.

    Returns:
        CPU seconds; the most memory that the process had so far, MiB.
    """
    if _MADE_UP not in DATASET:
        DATASET.register(_MadeUpSource, name=_MADE_UP)
    keys = {
        "TEST.DATASET": _MADE_UP,
        "DATA.TEST_SPLIT": f"{videos}-{classes}-{views + 3}",
        "DATA.TEMPORAL_SAMPLING": "rate" if views == 1 else "windows",
        "DATA.WINDOW_STRIDE": 1,
        "DATA.TARGET_FPS": _FPS,
        "TEST.NUM_ENSEMBLE_VIEWS": 1,
        "TEST.NUM_SPATIAL_CROPS": 1,
        "TEST.BATCH_SIZE": 64,
    }
    spec = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8, fps=_FPS)
    return _run(folder, keys, classes, spec)


def _run(folder: Path, keys: dict[str, Any], classes: int, spec: ClipSpec) -> tuple[float, float]:
    always = {"OUTPUT_DIR": folder, "DATA_LOADER.NUM_WORKERS": 0, "NUM_GPUS": 0}
    cfg = load_cfg(overrides=[str(text) for pair in (keys | always).items() for text in pair])
    recognizer = Recognizer.wrap(_Tiny(classes), spec)
    logging.disable(logging.INFO)
    start = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        measure(cfg, recognizer)
    logging.disable(logging.NOTSET)
    return time.process_time() - start, _peak_memory()


def _by_windows(folder: Path, minutes: int) -> tuple[int, float, float, float]:
    """Measure a long video by windows with three crops.

    Returns:
        Its views, CPU seconds, and the most memory that the process had, MiB: before, with all that it imports, and at
        the end.
    """
    stride, video = 2, folder / "long.mp4"
    _write_video(video, frames=60 * minutes)
    (folder / "long.csv").write_text(f"{video} 0\n")
    keys = {
        "DATA.TEST_SPLIT": folder / "long.csv",
        "DATA.TEMPORAL_SAMPLING": "windows",
        "DATA.TARGET_FPS": 1.0,
        "DATA.WINDOW_STRIDE": stride,
        "TEST.NUM_SPATIAL_CROPS": 3,
    }
    spec = ClipSpec(num_frames=8, sampling_rate=1, crop_size=224, test_crop_size=224, short_side=256, fps=1.0)
    _measured(folder / "first", videos=2)
    before = _peak_memory()
    seconds, peak = _run(folder / "windows", keys, 400, spec)
    return 3 * (1 + (60 * minutes - 8) // stride), seconds, before, peak


def _write_video(path: Path, frames: int) -> None:
    """A grey field that becomes brighter, a frame a second, with a key frame every 20."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for number in range(frames):
            picture = np.full((256, 340, 3), number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _worker_memory(folder: Path, lines: int) -> float:
    """The memory of its own, MiB, of a worker that has the records of a list of videos and has looked at all."""
    file = folder / f"{lines}.csv"
    with open(file, "w", encoding="utf-8") as opened:
        opened.writelines(
            f"videos/class_{index % 400:03}/video_{index:07}.mp4 {index % 400}\n" for index in range(lines)
        )
    cfg = load_cfg(overrides=["DATA.TEST_SPLIT", str(file), "MODEL.NUM_CLASSES", "400"])
    records = build_source(cfg, "test").records
    context = worker_context(__name__, sent=records)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    worker = context.Process(target=_look_at_all, args=(records, sender))
    worker.start()
    sender.close()
    found = receiver.recv()
    worker.join()
    return found


def _look_at_all(records: Sequence[VideoRecord], sender: Any) -> None:
    labels = sum(record.label or 0 for record in records)
    assert labels >= 0
    sender.send(_own_memory())


def _in_new_process(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *args, **options).result()


def _peak_memory() -> float:
    """The most resident memory of this process so far, MiB."""
    return _status("VmHWM")


def _own_memory() -> float:
    """Memory of this process that it shares with no other one, MiB."""
    fields = dict(_kib_fields(f"/proc/{os.getpid()}/smaps_rollup"))
    return (fields["Private_Clean"] + fields["Private_Dirty"]) / 1024


def _status(name: str) -> float:
    return dict(_kib_fields("/proc/self/status"))[name] / 1024


def _kib_fields(file: str) -> Iterator[tuple[str, int]]:
    for line in Path(file).read_text().splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            yield name, int(rest.split()[0])


if __name__ == "__main__":
    import sys

    from pvbias.tools.main import guard

    sys.exit(guard(main, sys.argv[1:]))
