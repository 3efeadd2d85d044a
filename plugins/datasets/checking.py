"""Checking of a list: the first frame of each of its videos is decoded (`pvbias check`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pvbias.config.defaults import get_cfg
from pvbias.data.bad_videos import BadVideo, BadVideoLog, count_causes, forget
from pvbias.data.dataset import TestDataset
from pvbias.data.loader import TestLoader
from pvbias.data.record_list import field_of
from pvbias.data.source import VideoFiles
from pvbias.data.transforms import TestViews

from .sampling import Beginning

#: Side of the frames that are made of the decoded ones, pixels: nobody looks at them.
_SIDE = 16


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The outcome of :func:`check_list`.

    Attributes:
        path: of the list.
        videos: how many lines it has.
        bad: those of which no frame could be had, or whose label is none of the classes.
        log: where they are listed; None: nowhere else.
    """

    path: str
    videos: int
    bad: Sequence[BadVideo]
    log: Path | None

    def __str__(self) -> str:
        good = self.videos - len(self.bad)
        summary = f"{self.path}: {self.videos:,} videos, {good:,} good, {len(self.bad):,} bad"
        lines = [f"  {video}" for video in self.bad]
        causes = f" ({count_causes(self.bad)})" if self.bad else ""
        where = [f"all of them are in {self.log}"] if self.bad and self.log is not None else []
        return "\n".join([f"{summary}{causes}", *lines, *where])


def check_list(
    source: VideoFiles,
    *,
    num_classes: int | None = None,
    out: str | Path | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Checked:
    """Decode the first frame of each video of a list, or of the part that is meant of it.

    Args:
        source: the list's videos.
        num_classes: of the model that the labels are for; None: as many as the list has.
        out: folder for ``bad_videos.jsonl``, made when there are bad ones; None: they are not written.
        workers: processes; a file that takes its process down is a bad one, and the rest goes on. 0: this process,
            which such a file would end.
        progress: show a progress bar on standard error.

    Raises:
        DataError: a worker process was killed, as where memory runs out.
    """
    cfg = get_cfg()
    cfg.DATA_LOADER.NUM_WORKERS = workers
    labels = {label for label in field_of(source.records, "label") if label is not None}
    dataset = TestDataset(
        source,
        sampling=Beginning(1),
        views=TestViews(short_side=_SIDE, crop_size=_SIDE, num_crops=1),
        num_classes=num_classes or len(source.class_names) or max(labels, default=0) + 1,
        split="",
        seed=cfg.RNG_SEED,
        tracks={},
    )
    loader = TestLoader(cfg, dataset, [range(len(source.records))])
    log = BadVideoLog(out, max_fraction=1.0) if out is not None else None
    if out is not None:
        forget(out, {""})
    bad = []
    pace = {} if sys.stderr.isatty() else {"mininterval": 30.0}
    for video in tqdm(loader, unit="video", disable=not progress, **pace):
        if isinstance(video, BadVideo):
            bad.append(video)
            if log is not None:
                log.add(video)
    path = log.path if log is not None else None
    return Checked(path=source.description, videos=len(source.records), bad=bad, log=path)
