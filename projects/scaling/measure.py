"""Measure what plan.py has to know of this machine and of pvbias, and write it into a file of rates.

pvbias prepare videos/ prepared/
python projects/scaling/measure.py --videos prepared/ --folder /shared/me --rates projects/scaling/rates.json

Rates that cannot be measured here (a GPU's steps, the network, how often machines fail) stay as the file has them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvbias.config import complete, load_cfg
from pvbias.data import build_source
from pvbias.data.annotations import VIDEO_SUFFIXES, read_annotation
from pvbias.data.loader import build_test_loader, build_train_loader
from pvbias.errors import ConfigError
from pvbias.models.shapes import build_shapes
from pvbias.registries import MODEL
from pvbias.tools.main import guard
from pvbias.versions import versions
from pvbias.video.packets import forget_indexes
from pvbias.zoo import atomic_save, read_checkpoint

NUM_CLASSES = 700


def measure_model(name: str, videos: Path, repeats: int) -> dict[str, tuple[float, str]]:
    """What preparing clips for a model costs here, and how large it is.

    Args:
        name: in the catalogue.
        videos: annotation of prepared files.
        repeats: times that each file gives a training clip; and, a tenth of that, its test views.

    Returns:
        (value, unit) of each rate.
    """
    keys = {
        "MODEL.MODEL_NAME": name,
        "DATA.TRAIN_SPLIT": str(videos),
        "DATA.TEST_SPLIT": str(videos),
        "DATA_LOADER.NUM_WORKERS": 0,
        "TRAIN.BATCH_SIZE": 1,
    }
    cfg = complete(load_cfg(overrides=[str(part) for pair in keys.items() for part in pair]), num_classes=NUM_CLASSES)
    source = build_source(cfg, "train")
    train = build_train_loader(cfg, source, rank=0, world_size=1)
    test = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1)

    def epochs(count: int, run: Callable[[int], object]) -> tuple[float, float]:
        """Seconds of the processor and bytes that one video costs: means over all but the first of some epochs."""
        run(0)
        seconds, read = time.process_time(), _bytes_read()
        for epoch in range(1, count + 1):
            forget_indexes()  # one worker of a thousand seldom sees a file again
            run(epoch)
        videos_read = count * len(source.records)
        return (time.process_time() - seconds) / videos_read, (_bytes_read() - read) / videos_read

    decode, read = epochs(repeats, lambda epoch: list(train.epoch(epoch)))
    test_decode, _ = epochs(max(repeats // 10, 1), lambda epoch: list(test))
    module = build_shapes(MODEL.get(name), num_classes=NUM_CLASSES)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    weights = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    return {
        "parameters": (parameters, "numbers"),
        "weights_bytes": (weights, "bytes"),
        "decode_seconds": (decode, "s of a core, a training clip"),
        "read_bytes": (read, "bytes, a training clip"),
        "test_decode_seconds": (test_decode, "s of a core, a test video"),
        "test_scale": ((cfg.DATA.TEST_CROP_SIZE / cfg.DATA.TRAIN_CROP_SIZE) ** 2, "ratio"),
    }


def _bytes_read() -> int:
    """By this process's calls, from memory or not (Linux)."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def measure_checkpoints(folder: Path, mebibytes: int, repeats: int) -> dict[str, tuple[float, str]]:
    """How fast checkpoints are written into a folder and read again: medians."""
    state = {f"layer{index}": torch.randn(2**18) for index in range(mebibytes)}
    saved, loaded = [], []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for _ in range(repeats):
            with _timed(saved):
                path = atomic_save(state, Path(place) / "checkpoint.pyth")
            with _timed(loaded):
                read_checkpoint(str(path))
    size = mebibytes * 2**20
    return {
        "save_bandwidth": (size / float(np.median(saved)), "bytes/s"),
        "load_bandwidth": (size / float(np.median(loaded)), "bytes/s"),
    }


def measure_start(model: str, num_videos: int) -> dict[str, tuple[float, str]]:
    """Seconds of a core until a new process has its model, and the annotation of a large data set; how many files it
    has opened for that, and the bytes of them that are in its memory."""
    build = _START.format(model=model, classes=NUM_CLASSES)
    lines = [f"class{index % NUM_CLASSES}/{index:011}.mp4 {index % NUM_CLASSES}\n" for index in range(num_videos)]
    with tempfile.TemporaryDirectory() as place:
        annotation = Path(place) / "train.csv"
        annotation.write_text("".join(lines))
        before = sum(os.times()[:4])  # those of this process and of the ones that it has started
        opened, size = _run(build)
        read_annotation(annotation)
        return {
            "start_seconds": (sum(os.times()[:4]) - before, "s"),
            "start_opens": (opened, "files"),
            "start_bytes": (size, "bytes"),
        }


#: What a process does when it starts. It prints how many files it has opened, and their bytes: all of a module, and of
#: a library what is in memory.
_START = """
import os, re, sys
from pvbias.config import complete, load_cfg
from pvbias.models import build_recognizer
build_recognizer(complete(load_cfg(overrides=['MODEL.MODEL_NAME', {model!r}]), num_classes={classes}))
files = (getattr(module, '__cached__', None) for module in list(sys.modules.values()))
sizes = {{file: os.path.getsize(file) for file in files if isinstance(file, str) and os.path.exists(file)}}
for line in open('/proc/self/smaps'):
    if found := re.search(r' (/.*[.]so[.0-9]*)$', line):
        sizes.setdefault(name := found[1], 0)
    elif line[:1] in '0123456789abcdef':
        name = ''
    elif line.startswith('Rss:') and name:
        sizes[name] += 1024 * int(line.split()[1])
print(len(sizes), sum(sizes.values()))
"""


def _run(program: str) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    opened, size = map(float, done.stdout.split()[-2:])
    return opened, size


@contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - start)


def machine() -> dict[str, Any]:
    """What the measurements depend on."""
    return {
        "processor": next(
            (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
        ),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "versions": versions(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder that `pvbias prepare` wrote")
    parser.add_argument("--rates", type=Path, required=True, help="file whose measured rates are replaced")
    parser.add_argument("--folder", type=Path, default=Path(), help="where checkpoints are written (default: here)")
    parser.add_argument("--models", nargs="+", help="of that file (default: all)")
    parser.add_argument("--mebibytes", type=int, default=256, help="size of a checkpoint (default 256)")
    parser.add_argument("--repeats", type=int, default=20, help="training clips of each file (default 20)")
    arguments = parser.parse_args(argv)
    content = json.loads(arguments.rates.read_text(encoding="utf-8"))
    files = sorted(path for path in arguments.videos.rglob("*") if path.suffix in VIDEO_SUFFIXES)
    if not files:
        raise ConfigError(f"--videos {arguments.videos}: there is no video in it.")
    torch.set_num_threads(1)
    models, rates = content["models"], content["rates"]
    before = machine()
    with tempfile.TemporaryDirectory() as place:
        annotation = Path(place) / "videos.csv"
        annotation.write_text("".join(f"{path.resolve()} 0\n" for path in files), encoding="utf-8")
        for name in arguments.models or models:
            found = measure_model(name, annotation, arguments.repeats)
            _write(models.setdefault(name, {}), found, f"pvbias on {len(files)} files of --videos, one thread")
    _write(
        rates,
        {"video_bytes": (float(np.mean([path.stat().st_size for path in files])), "bytes")},
        f"mean of {len(files)} files of --videos",
    )
    checkpoints = measure_checkpoints(arguments.folder, arguments.mebibytes, max(arguments.repeats // 5, 1))
    _write(rates, checkpoints, f"torch.save of {arguments.mebibytes} MiB into --folder, on the disk at the end")
    start = measure_start(next(iter(models)), int(rates["train_videos"]["value"]))
    _write(rates, start, "import, model and annotation in a process of one thread; no GPUs, no meeting of processes")
    content["machine"] = before
    arguments.rates.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


def _write(entries: dict[str, Any], found: dict[str, tuple[float, str]], how: str) -> None:
    for name, (value, unit) in found.items():
        entries[name] = {"value": float(f"{value:.4g}") if isinstance(value, float) else value, "unit": unit}
        entries[name]["origin"] = f"measured: {how}"


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
