"""The list of re-encoded files in a folder: ``prepared.jsonl``, one line for each finished video."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..shard import Shard

FINISHED_FILE = "prepared.jsonl"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One re-encoded file: a line of FINISHED_FILE.

    Attributes:
        name: as the annotation writes it.
        target: the new file, relative to the output folder.
        frames: how many.
        bytes_before, bytes_after: file sizes.
        squared_error, figures: see :class:`pvbias.transcoding.encoding.Encoded`.
    """

    name: str
    target: str
    frames: int
    bytes_before: int
    bytes_after: int
    squared_error: float
    figures: Mapping[str, float] = field(default_factory=dict)


def list_folder(out_dir: Path, shard: Shard | None) -> Path:
    """The folder of the lists of finished and bad files, of one shard or of all files."""
    return out_dir if shard is None else out_dir / "shards" / str(shard.index)


def read_finished(out_dir: Path) -> Iterator[Finished]:
    """The finished files of all runs into a folder, from the lists of all of them."""
    for folder in list_folders(out_dir):
        if (folder / FINISHED_FILE).exists():
            lines = (folder / FINISHED_FILE).read_text(encoding="utf-8").split("\n")
            for line in lines[:-1]:  # what a kill has cut off, or somebody is writing, is no file yet
                yield Finished(**json.loads(line))


def list_folders(out_dir: Path) -> list[Path]:
    return [out_dir, *sorted(out_dir.glob("shards/*"))]
