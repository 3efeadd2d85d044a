"""Records of videos, and the contract of a source that opens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..video import BadVideoError, Video
from .attributes import NO_ATTRIBUTES, Attribute


@dataclass(frozen=True, kw_only=True)
class VideoRecord:
    """One line of an annotation.

    Attributes:
        path: where the video is: a file or a folder of frame images (for a generated video, any unique name).
        name: the path as the annotation writes it; identifies the video in reports and seeds its modulations.
        label: class index, or None.
        start, end: the part of the video that is meant, seconds; None for the whole.
        attributes: what else the annotation says of it, by name (its scene, its domain, its factors, ...): text,
            numbers, True or False; not to be changed.
    """

    path: str
    name: str
    label: int | None = None
    start: float | None = None
    end: float | None = None
    attributes: Mapping[str, Attribute] = field(default=NO_ATTRIBUTES, hash=False)


class VideoSource(Protocol):
    """The contract of a DATASET entry: a list of videos that can be opened.

    Attributes:
        records: in annotation order.
        class_names: names of the classes 0 .. K-1; empty when they have none.
        description: what the videos are, in a line for the report: an annotation's path, a recipe in words.
    """

    @property
    def records(self) -> Sequence[VideoRecord]: ...

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def description(self) -> str: ...

    def open(self, record: VideoRecord) -> Video:
        """Open a video.

        Raises:
            BadVideoError: it cannot be had.
        """
        ...


def is_possible(label: int | None, num_classes: int) -> bool:
    """Whether a label, if there is one, is one of the classes."""
    return label is None or 0 <= label < num_classes


def check_label(label: int | None, num_classes: int) -> None:
    """Raise BadVideoError when the label, if there is one, is none of the classes."""
    if not is_possible(label, num_classes):
        raise BadVideoError(
            "label out of range", f"the label is {label}, the {num_classes} classes are 0 to {num_classes - 1}"
        )
