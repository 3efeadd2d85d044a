"""Seconds of `pvbias measure` from start to end, beside a script that was written by hand (plain_measure.py).

    pip install torchcodec    # which wants FFmpeg's shared libraries
    python projects/scaling/whole_command.py --videos videos/ --counts 3 20 200 --rounds 3

Both read the same list with the same weights (random ones), x3d_xs at 160 pixels, one clip of a video, four variants of
it, one decoding process; they take turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from pytorchvideo.models.hub import x3d_xs
from tabulate import tabulate

from pvbias.data.annotations import read_annotation

SCRIPT = Path(__file__).with_name("plain_measure.py")


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of videos; they are repeated as needed")
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 20, 200], help="videos (default 3 20 200)")
    parser.add_argument("--rounds", type=int, default=3, help="of both, in turns (default 3)")
    args = parser.parse_args()
    videos = [Path(record.path).resolve() for record in read_annotation(args.videos).records]
    rows = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        torch.manual_seed(0)
        torch.save({"model_state": x3d_xs(pretrained=False).state_dict()}, folder / "weights.pth")
        for count in args.counts:
            file = _list(videos, count, folder)
            seconds = [(_plain(file, folder), _pvbias(file, folder)) for _ in range(args.rounds)]
            plain, own = zip(*seconds, strict=True)
            ratios = sorted(ours / theirs for theirs, ours in seconds)
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            rows.append((count, statistics.median(plain), statistics.median(own), statistics.median(ratios), spread))
    headers = ("videos", "plain script, s", "pvbias measure, s", "ratio", "of the rounds")
    print(tabulate(rows, headers=headers, floatfmt=".2f"))


def _list(videos: list[Path], count: int, folder: Path) -> Path:
    """A list of ``count`` videos: links, so that no two lines are of one file."""
    own = folder / str(count)
    own.mkdir()
    lines = []
    for number, video in enumerate(itertools.islice(itertools.cycle(videos), count)):
        link = own / f"{number:04d}{video.suffix}"
        link.symlink_to(video)
        lines.append(f"{link} {number % 400}\n")
    file = folder / f"{count}.csv"
    file.write_text("".join(lines))
    return file


def _plain(file: Path, folder: Path) -> float:
    command = [sys.executable, str(SCRIPT), "--data", str(file), "--weights", str(folder / "weights.pth")]
    return _timed([*command, "--out", str(folder / "plain.json")])


def _pvbias(file: Path, folder: Path) -> float:
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "pvbias.tools.main", "measure", "--model", "x3d_xs", "--data", str(file)]
    options = ["--weights", str(folder / "weights.pth"), "--workers", "1", "--out", str(out)]
    measured = ["--metrics", "accuracy", "modulated_accuracy", "dynamic_score", "--set", "DATA.TEST_CROP_SIZE", "160"]
    return _timed([*command, *options, *measured])


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
