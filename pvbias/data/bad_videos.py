"""Bad videos: left out or replaced, listed with their cause, and counted against a limit."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..distributed import all_gather_objects
from ..errors import DataError
from ..video.video import BadVideoError
from .records import VideoRecord

FILE_NAME = "bad_videos.jsonl"


@dataclass(frozen=True, kw_only=True)
class BadVideo:
    """A video that could not be used.

    Attributes:
        index: its position in the annotation.
        path, name: as in its record.
        cause: see :class:`pvbias.video.BadVideoError`.
        detail: what was seen.
        split: "train", "val" or "test".
    """

    index: int
    path: str
    name: str
    cause: str
    detail: str = ""
    split: str = ""

    @classmethod
    def of(cls, index: int, record: VideoRecord, error: BadVideoError, split: str) -> BadVideo:
        """The entry for a record that failed with ``error``."""
        return cls(index=index, path=record.path, name=record.name, cause=error.cause, detail=error.detail, split=split)

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}" + (f" ({self.detail})" if self.detail else "")


class BadVideoLog:
    """Lists bad videos in ``output_dir/bad_videos.jsonl`` and stops a run that has too many.

    Each process of a run has one; they write to the same file. A path is listed once, however often and by whichever
    process it is found bad, in this run or in the one that it resumes. Each process reads each line of the file once:
    a video costs as much on the last line as on the first.

    Args:
        output_dir: made when missing.
        max_fraction: DATA.MAX_BAD_FRACTION.
    """

    def __init__(self, output_dir: str | os.PathLike, max_fraction: float) -> None:
        self.path = Path(output_dir) / FILE_NAME
        self.max_fraction = max_fraction
        self._found: dict[str, BadVideo] = {}
        self._good = 0
        self._bad = 0
        self._listed: set[str] = set()  # paths in the file, as far as it has been read
        self._read = 0  # bytes

    def seen(self, count: int = 1) -> None:
        """Count good videos."""
        self._good += count

    def add(self, *videos: BadVideo) -> None:
        """Count bad videos, and list them."""
        self._bad += len(videos)
        new = {video.path: video for video in videos if video.path not in self._found}
        if new:
            self._found |= new
            self._append(list(new.values()))

    def _append(self, videos: Sequence[BadVideo]) -> None:
        """Append the videos that neither this process nor another one has listed."""
        import fcntl  # not on Windows, where everything else that does not list bad files should work

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
            if file.seek(0, os.SEEK_END) < self._read:  # begun anew by :func:`forget`
                self._listed, self._read = set(), 0
            file.seek(self._read)
            self._listed |= {json.loads(line)["path"] for line in file.read().splitlines() if line.strip()}
            new = [video for video in videos if video.path not in self._listed]
            # ASCII: any path, valid Unicode or not, comes back as it was
            file.write("".join(f"{json.dumps(_entry(video))}\n" for video in new).encode("ascii"))
            self._listed |= {video.path for video in new}
            self._read = file.tell()

    def check(self) -> None:
        """Raise DataError where too many videos are bad; to be called by all processes together, after each pass over
        the data.

        Raises:
            DataError: more than ``max_fraction`` of the videos that all processes have met so far were bad. In all
                processes alike.
        """
        found, good, bad = self._merged()
        if bad > self.max_fraction * (good + bad):
            examples = "".join(f"\n  {video}" for video in list(found.values())[:5])
            raise DataError(
                f"{bad} of {good + bad} videos read were bad ({bad / (good + bad):.1%}; {len(found)} different files), "
                f"more than DATA.MAX_BAD_FRACTION = {self.max_fraction:g} allows. All of them, with causes, are in "
                f"{self.path}:{examples}"
            )

    def summary(self) -> dict[str, Any]:
        """Counts over all processes (to be called by all of them): ``read`` (videos met, again in each epoch),
        ``bad`` (how many of them), ``bad_files`` (different ones), ``causes`` (files by cause), ``list`` (path of the
        list, empty without bad files)."""
        found, good, bad = self._merged()
        return {
            "read": good + bad,
            "bad": bad,
            "bad_files": len(found),
            "causes": dict(sorted(Counter(video.cause for video in found.values()).items())),
            "list": str(self.path) if found else "",
        }

    def videos(self) -> list[BadVideo]:
        """The bad videos of all processes, by path (to be called by all of them)."""
        return list(self._merged()[0].values())

    def _merged(self) -> tuple[dict[str, BadVideo], int, int]:
        parts = all_gather_objects((self._found, self._good, self._bad))
        found = {path: video for part, _, _ in parts for path, video in part.items()}
        return dict(sorted(found.items())), sum(good for _, good, _ in parts), sum(bad for _, _, bad in parts)


def forget(output_dir: str | os.PathLike, splits: Collection[str]) -> None:
    """Remove the videos of some splits from the list, before a run reads those splits anew: what an earlier run into
    the same folder found there may have been repaired. Call in one process, before any log is written to."""
    file = Path(output_dir) / FILE_NAME
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["split"] not in splits]
    if kept:
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    else:
        file.unlink()


def _entry(video: BadVideo) -> dict[str, str]:
    return {key: value for key, value in asdict(video).items() if key != "index"}


def count_causes(bad: Iterable[BadVideo]) -> str:
    """Count videos by cause, in words: ``missing 2, unreadable 1``; empty for none."""
    causes = Counter(video.cause for video in bad)
    return ", ".join(f"{cause} {count}" for cause, count in causes.items())
