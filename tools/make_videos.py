"""Write the generated videos of a configuration as files, with an annotation of each split: for other programs to read,
or for a look at them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from fvcore.common.config import CfgNode

from pvbias.config import load_cfg
from pvbias.data import BadVideoLog, build_source
from pvbias.data.annotations import Listed, json_lines
from pvbias.data.bad_videos import count_causes
from pvbias.errors import DataError
from pvbias.hardware import available_cores
from pvbias.storage.addresses import on_a_disk
from pvbias.transcoding.batch_encoding import Outcome, encode_all, plan_jobs
from pvbias.transcoding.encoding import Encoding

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
#: Short side up to which videos keep their size, pixels.
_LARGEST = 8192

EXAMPLES = """examples:
  # what brush.yaml trains and tests on, without loss: DATASET "videos" reads the same clips from brush/test.csv
  pvbias make-videos brush/ --cfg brush.yaml --lossless
  # no configuration file; only some videos of two splits
  pvbias make-videos pfm/ --splits train test TRAIN.DATASET places_faces_mnist TEST.DATASET places_faces_mnist \\
      DECOUPLED.TRAIN_VIDEOS 800 DECOUPLED.TEST_VIDEOS 160
  # other labels of the same videos: files that are there are kept, test_motion.csv is new
  pvbias make-videos brush/ --cfg brush.yaml --lossless --suffix _motion DECOUPLED.LABEL motion

Written are OUT/<name of the video>, OUT/<split><suffix>.csv (`path label` lines), OUT/class_names<suffix>.txt and,
where the videos have attributes (such as their factors), OUT/<split><suffix>.jsonl: the list with them.
Run it again to go on after an interruption. Bad videos are listed in OUT/bad_videos.jsonl and left out.
The exit code is 3 when more of them are bad than DATA.MAX_BAD_FRACTION allows."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    # Overrides may follow the list of splits, which cannot tell where it ends.
    splits = list(takewhile(SPLITS.__contains__, args.splits))
    if not splits:
        parser.error(f"argument --splits: {args.splits[0]!r} is none of {', '.join(SPLITS)}")
    cfg = load_cfg(args.cfg, [*args.splits[len(splits) :], *args.overrides])
    for split in splits:
        if (cfg.TEST if split == "test" else cfg.TRAIN).DATASET == "videos":
            logger.warning(
                "%s.DATASET is 'videos': the files that DATA.%s_SPLIT names are re-encoded. For videos that are made "
                "up name another data set (`pvbias list datasets`).",
                "TEST" if split == "test" else "TRAIN",
                split.upper(),
            )
    encoding = Encoding(short_side=_LARGEST, crf=args.crf, lossless=args.lossless)
    print(make_videos(cfg, args.out, splits, encoding=encoding, workers=args.workers, suffix=args.suffix))
    return 0


def make_videos(
    cfg: CfgNode,
    out_dir: str | Path,
    splits: Sequence[str] = SPLITS,
    *,
    encoding: Encoding,
    workers: int = 2,
    suffix: str = "",
    progress: bool = True,
) -> str:
    """Write every video that TRAIN.DATASET ("train", "val") and TEST.DATASET ("test") name.

    Args:
        cfg: a checked configuration, completed or not.
        out_dir: made when missing.
        splits: some of "train", "val", "test".
        encoding: how to write.
        workers: processes; 0: this process does the work.
        suffix: of the names of annotations and class names.
        progress: show progress bars on standard error.

    Returns:
        A summary.

    Raises:
        ConfigError: ``out_dir`` was begun with another encoding, or would overwrite a source.
        DataError: a video means a part of a file, which the annotation cannot say; or more are bad than
            DATA.MAX_BAD_FRACTION allows (all others are then written).
    """
    out_dir = Path(out_dir)
    log = BadVideoLog(out_dir, cfg.DATA.MAX_BAD_FRACTION)
    lines = []
    for split in splits:
        source = build_source(cfg, split)
        jobs = plan_jobs(source.records)
        outcome = encode_all(jobs, source, out_dir, encoding, workers=workers, log=log, split=split, progress=progress)
        targets = {job.record.path: job.target for job in jobs if job.record.name in outcome.finished}
        listed = [
            Listed(targets[record.path], record.label, record) for record in source.records if record.path in targets
        ]
        _write_lists(out_dir, f"{split}{suffix}", listed)
        lines.append(f"{split:5} {len(listed)} videos, {_describe(outcome)}")
        if source.class_names:
            names = "".join(f"{name}\n" for name in source.class_names)
            (out_dir / f"class_names{suffix}.txt").write_text(names, encoding="utf-8")
    log.check()
    return "\n".join(lines)


def _write_lists(folder: Path, name: str, videos: Sequence[Listed]) -> None:
    """``path label`` lines, which other programs read, too, and JSON lines with the attributes where there are any;
    paths are relative to the lists."""
    for video in videos:
        if video.record.start is not None or video.record.end is not None:
            raise DataError(f"{video.record.name!r} means a part of a video, which {name}.csv cannot say.")
    lines = [video.path + ("" if video.label is None else f" {video.label}") for video in videos]
    lists = {f"{name}.csv": lines}
    if any(video.record.attributes for video in videos):
        lists[f"{name}.jsonl"] = json_lines(videos)
    for file, written in lists.items():
        text = "".join(f"{line}\n" for line in written)
        (folder / file).write_text(text, encoding="utf-8", errors="surrogateescape")


def _describe(outcome: Outcome) -> str:
    files = outcome.finished.values()
    text = f"{len(files)} files ({outcome.resumed} of them before this run), "
    text += f"{sum(file.frames for file in files):,} frames, {sum(file.bytes_after for file in files) / 2**20:,.1f} MiB"
    if outcome.bad:
        text += f", {len(outcome.bad)} bad: {count_causes(outcome.bad)}"
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias make-videos",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=on_a_disk, help="folder for the files")
    parser.add_argument("--cfg", metavar="FILE", help="YAML configuration")
    parser.add_argument(
        "--splits", nargs="+", default=list(SPLITS), metavar="SPLIT", help="some of train, val, test (default: all)"
    )
    parser.add_argument("--lossless", action="store_true", help="H.264 in RGB that gives back every bit")
    parser.add_argument(
        "--crf", type=int, default=Encoding().crf, help="x264's quality, 0 to 51, if lossy (default %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=available_cores(), help="processes (default: one a core, here %(default)s)"
    )
    parser.add_argument("--suffix", default="", metavar="TEXT", help="of the annotations' names, as in test_motion.csv")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys that override the file's")
    return parser
