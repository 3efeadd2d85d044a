"""Writing of annotations as text, which :func:`.reading.read_annotation` reads as the same records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..attributes import Attribute
from ..records import VideoRecord
from .lines import write_line, write_row


@dataclass(frozen=True)
class Listed:
    """A line of a list to be written.

    Attributes:
        path: as it is to be written.
        label: number or class name; None: none.
        record: whose part and attributes the line has.
    """

    path: str
    label: int | str | None
    record: VideoRecord


def json_lines(videos: Iterable[Listed]) -> list[str]:
    """``{"path": ..., "label": ..., "start": ..., "end": ..., attribute: ...}``, without what there is none of."""
    lines = []
    for video in videos:
        record = video.record
        entry = {"path": video.path, "label": video.label, "start": record.start, "end": record.end}
        lines.append(
            json.dumps({key: said for key, said in entry.items() if said is not None} | dict(record.attributes))
        )
    return lines


def text_lines(videos: Sequence[Listed]) -> list[str]:
    """``path label`` lines or, where parts of videos are meant or there are attributes, a table with a heading."""
    parts = any(video.record.start is not None or video.record.end is not None for video in videos)
    attributes = list(dict.fromkeys(name for video in videos for name in video.record.attributes))
    if not parts and not attributes:
        return [write_line(video.path, video.label) for video in videos]
    times = ["start", "end"] if parts else []
    lines = [_heading(["path", "label", *times, *attributes])]
    for video in videos:
        record = video.record
        values = (_one_line(record.attributes.get(name)) for name in attributes)
        lines.append(write_row(video.path, video.label, *([record.start, record.end] if parts else []), *values))
    return lines


def _heading(names: Sequence[str]) -> str:
    """With quotes only where a name needs them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def _one_line(value: Attribute | None) -> str | None:
    return None if value is None else " ".join(str(value).split())
