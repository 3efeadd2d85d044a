"""Measure how much of the cores' speed a measurement in several processes has, and what memory its processes take.

python projects/scaling/processes.py --videos videos/ --processes 2 4

The ideal is what one process on one core measures in the same time, multiplied by the cores. Rounds of all cases take
turns. Starting the processes and building the model are not counted; a training or a test has them once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch.distributed as dist
from fvcore.common.config import CfgNode
from tabulate import tabulate

from pvbias.config import complete, load_cfg
from pvbias.data import BadVideoLog, build_source
from pvbias.distributed import get_world_size, is_main_process
from pvbias.engine import launch
from pvbias.errors import TrainingError
from pvbias.evaluation import run_evaluators
from pvbias.models import build_recognizer
from pvbias.plugin_loading import load_plugins
from pvbias.registries import EVALUATOR
from pvbias.runtime import choose_settings
from pvbias.tools.main import guard

#: Seconds between two looks at the memory of the processes.
PERIOD = 1.0


def measure(cfg: CfgNode) -> None:
    """In each process: measure accuracy; the main one leaves the seconds and the memory of all in OUTPUT_DIR."""
    load_plugins()
    cfg = complete(cfg, num_classes=400)
    source = build_source(cfg, "test")
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=False)
    settings.place(recognizer)
    accuracy = EVALUATOR.get("accuracy")(cfg, recognizer, source.class_names)
    log = BadVideoLog(cfg.OUTPUT_DIR, max_fraction=1.0)
    if get_world_size() > 1:
        dist.barrier()
    # Processes of one run, and those that load for them, are all forked from one server.
    top = os.getpid() if get_world_size() == 1 else os.getppid()
    watched = _memory_watched(top, Path(cfg.OUTPUT_DIR) / "memory.json") if is_main_process() else nullcontext()
    with watched:
        start = time.perf_counter()
        run_evaluators(cfg, recognizer, source, {"accuracy": accuracy}, settings=settings, bad_log=log, progress=False)
        seconds = time.perf_counter() - start
    if is_main_process():
        (Path(cfg.OUTPUT_DIR) / "seconds.json").write_text(json.dumps(seconds))


@contextmanager
def _memory_watched(top: int, file: Path) -> Iterator[None]:
    """Write the anonymous memory (bytes) of a process and of those below it, over time."""
    over = threading.Event()
    seen: dict[int, list[int]] = {}

    def watch() -> None:
        while not over.wait(PERIOD):
            for process in _below(top):
                try:
                    status = Path(f"/proc/{process}/status").read_text()
                except OSError:  # it has ended
                    continue
                if "RssAnon" in status:
                    seen.setdefault(process, []).append(1024 * int(status.split("RssAnon:")[1].split()[0]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        file.write_text(json.dumps(list(seen.values())))


def _below(process: int) -> list[int]:
    """A process and all that it has started."""
    try:
        texts = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [process, *(found for text in texts for child in text.split() for found in _below(int(child)))]


def _run(cfg: CfgNode, processes: int, cores: set[int]) -> tuple[float, list[list[int]]]:
    """Measure with so many processes on these cores: seconds, and the memory of each process over time."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = cfg.clone()
        cfg.OUTPUT_DIR, cfg.NUM_GPUS = folder, processes
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # what is started has it, too
        try:
            job = multiprocessing.get_context("spawn").Process(target=launch, args=(measure, cfg))
            job.start()
        finally:
            os.sched_setaffinity(0, own)
        job.join()
        if job.exitcode:
            raise TrainingError(f"Measuring with {processes} processes has failed; its own message is above.")
        return tuple(json.loads((Path(folder) / f"{name}.json").read_text()) for name in ("seconds", "memory"))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", required=True, help="annotation file or folder of videos")
    parser.add_argument("--processes", type=int, nargs="+", default=[4], help="in each case (default 4)")
    parser.add_argument("--model", default="x3d_xs", help="architecture (random weights; default x3d_xs)")
    parser.add_argument("--clips", type=int, default=1, help="of a video (default 1)")
    parser.add_argument("--workers", type=int, default=0, help="loader workers of each process (default 0)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each of all cases (default 3)")
    arguments = parser.parse_args(argv)
    keys = {
        "MODEL.MODEL_NAME": arguments.model,
        "DATA.TEST_SPLIT": arguments.videos,
        "DATA.MAX_BAD_FRACTION": 1.0,
        "DATA_LOADER.NUM_WORKERS": arguments.workers,
        "TEST.NUM_ENSEMBLE_VIEWS": arguments.clips,
        "TEST.NUM_SPATIAL_CROPS": 1,
    }
    cfg = load_cfg(overrides=[str(part) for pair in keys.items() for part in pair])
    videos = len(build_source(complete(cfg, num_classes=400), "test").records)
    cores = os.sched_getaffinity(0)
    cases = {"1 on one core": (1, {min(cores)})} | {f"{count}": (count, cores) for count in arguments.processes}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    memory: dict[str, list[list[int]]] = {}
    for _ in range(arguments.repeats):
        for name, case in cases.items():
            taken, memory[name] = _run(cfg, *case)
            seconds[name].append(taken)
    alone = seconds["1 on one core"]
    rows = []
    for name, times in seconds.items():
        lost = [1 - own / len(cases[name][1]) / taken for own, taken in zip(alone, times, strict=True)]
        rows.append((name, videos / statistics.median(times), *(100 * f(lost) for f in (statistics.median, min, max))))
    print(f"{arguments.model}, {videos} videos x {arguments.clips} clips, {arguments.workers} loader workers a process")
    headers = ("processes", "videos a second", "lost to the ideal, %", "least", "most")
    print(tabulate(rows, headers=headers, floatfmt=".1f"))
    print("\nAnonymous memory, MiB, after 1/4, 2/4, 3/4 and at the end of the last round:")
    for name, processes in memory.items():
        for index, sizes in enumerate(processes):
            quarters = [sizes[len(sizes) * part // 4 - 1] / 2**20 for part in (1, 2, 3, 4)]
            print(f"{name}, process {index}: " + ", ".join(f"{size:.0f}" for size in quarters))
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
