"""Annotations of the cross-dataset setting: train on the 16 shared classes of one data set, test on those of the other.

python projects/rev2net/cross_dataset/make_splits.py --ucf101 videos/ucf101 --hmdb51 videos/hmdb51 \
    --ucf101-splits ucfTrainTestlist --hmdb51-splits testTrainMulti_7030_splits --out videos/cross_dataset

`--ucf101` and `--hmdb51` hold a folder of videos a class, as both archives unpack; the split folders are the official
ones. Written are, below `--out`:

    hmdb51_to_ucf101/train.csv   training videos of HMDB51        ucf101_to_hmdb51/train.csv   training videos of UCF101
                     val.csv     test videos of HMDB51                             val.csv     test videos of UCF101
                     target.csv  training videos of UCF101                         target.csv  training videos of HMDB51
                     test.csv    test videos of UCF101                             test.csv    test videos of HMDB51
    all.csv                      all of them, for `pvbias flow extract`
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvbias.errors import DataError
from pvbias.tools.main import guard

#: The shared classes, and what each data set calls them.
CLASSES = Path(__file__).with_name("classes.csv")


@dataclass(frozen=True, kw_only=True)
class Videos:
    """A data set's videos of the shared classes: lines of an annotation, ``path class``."""

    train: Sequence[str]
    test: Sequence[str]


def shared_classes(data_set: str) -> dict[str, str]:
    """The shared classes' common names, by what ``data_set`` ("ucf101" or "hmdb51") calls them."""
    with CLASSES.open(encoding="utf-8", newline="") as file:
        return {row[data_set]: row["class"] for row in csv.DictReader(file)}


def read_ucf101(splits: Path, videos: Path, number: int) -> Videos:
    """UCF101's: ``trainlist01.txt`` and ``testlist01.txt`` have lines ``Class/video.avi``, the former with a label."""
    parts = {}
    classes = shared_classes("ucf101")
    for part in ("train", "test"):
        names = [line.split()[0] for line in _lines(splits / f"{part}list{number:02d}.txt")]
        parts[part] = _annotation(videos, names, classes)
    return Videos(**parts)


def read_hmdb51(splits: Path, videos: Path, number: int) -> Videos:
    """HMDB51's: each class has a file ``class_test_split1.txt`` of lines ``video.avi 1`` (training) or ``2`` (testing;
    0 is neither)."""
    parts: dict[str, list[str]] = {"1": [], "2": [], "0": []}
    classes = shared_classes("hmdb51")
    for own in classes:
        for line in _lines(splits / f"{own}_test_split{number}.txt"):
            name, _, part = line.rpartition(" ")
            if part not in parts:
                raise DataError(f"{splits}, {own}, split {number}: {line!r} does not end in 0, 1 or 2.")
            parts[part].append(f"{own}/{name}")
    return Videos(train=_annotation(videos, parts["1"], classes), test=_annotation(videos, parts["2"], classes))


def write(out: Path, data_sets: Mapping[str, Videos]) -> None:
    """Write the annotations of both directions, and that of all videos."""
    for source, target in (("hmdb51", "ucf101"), ("ucf101", "hmdb51")):
        folder = out / f"{source}_to_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        parts = {
            "train": data_sets[source].train,
            "val": data_sets[source].test,
            "target": data_sets[target].train,  # whose labels domain adaptation does not read
            "test": data_sets[target].test,
        }
        for part, lines in parts.items():
            (folder / f"{part}.csv").write_text("".join(lines), encoding="utf-8")
    everything = [line for videos in data_sets.values() for line in (*videos.train, *videos.test)]
    (out / "all.csv").write_text("".join(everything), encoding="utf-8")


def _annotation(videos: Path, names: Sequence[str], classes: Mapping[str, str]) -> list[str]:
    """Those of the videos ``Class/video.avi`` that are of the shared classes."""
    # Whole paths: a video has the same name in all annotations, and so the same optical flow.
    return [f"{videos.resolve() / name} {classes[own]}\n" for name in names if (own := name.split("/")[0]) in classes]


def _lines(path: Path) -> list[str]:
    """Without empty ones.

    Raises:
        DataError: there is no such file.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): name the folder of the official splits.") from error


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ucf101", type=Path, required=True, help="folder of UCF101's videos")
    parser.add_argument("--hmdb51", type=Path, required=True, help="folder of HMDB51's videos")
    parser.add_argument("--ucf101-splits", type=Path, required=True, help="folder with trainlist01.txt, ...")
    parser.add_argument("--hmdb51-splits", type=Path, required=True, help="folder with climb_test_split1.txt, ...")
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="which of the three (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the annotations")
    args = parser.parse_args(argv)
    data_sets = {
        "ucf101": read_ucf101(args.ucf101_splits, args.ucf101, args.split),
        "hmdb51": read_hmdb51(args.hmdb51_splits, args.hmdb51, args.split),
    }
    write(args.out, data_sets)
    for name, videos in data_sets.items():
        print(f"{name}: {len(videos.train)} training videos, {len(videos.test)} test videos")
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
