"""Labels of videos for features: one class of each, or all that an attribute names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import VideoRecord, VideoSource, field_of
from ..data.annotations import CLASS_NAMES, loosely, read_class_names
from ..data.lookup import check_attributes
from ..errors import DataError, did_you_mean
from ..storage import is_address
from .folder import Label

#: Between the classes of a video.
_SEPARATOR = ";"


@dataclass(frozen=True)
class Labels:
    """How videos of a list are labelled.

    Attributes:
        class_names: in label order; empty: they have none.
        num_classes: K where videos may have several labels, else 0.
        of: the label of a record.
    """

    class_names: Sequence[str]
    num_classes: int
    of: Callable[[VideoRecord], Label]


def labels_of(source: VideoSource, attribute: str = "") -> Labels:
    """The labels of a list: its own; or, of each video, the classes that an attribute names, between semicolons. These
    are numbered by the class names of the list, by the file ``class_names.txt`` beside it, or in sorted order.

    Raises:
        DataError: no video has the attribute, or one has a class that is none of the names.
    """
    if not attribute:
        return Labels(source.class_names, 0, lambda record: record.label)
    check_attributes([source], [attribute], "FEATURES.LABELS_FROM")
    listed = field_of(source.records, "attributes")
    names = tuple(source.class_names) or _beside(source.description)
    names = names or tuple(sorted({name for each in listed for name in _split(each.get(attribute, ""))}))
    numbers = {loosely(name): number for number, name in enumerate(names)}

    def of(record: VideoRecord) -> list[int]:
        classes = _split(record.attributes.get(attribute, ""))
        unknown = [name for name in classes if loosely(name) not in numbers]
        if unknown:
            raise DataError(
                f"{source.description}: {record.name!r} has the class {unknown[0]!r} ({attribute}), which is none of "
                f"the {len(names)}. {did_you_mean(unknown[0], names)}"
            )
        return sorted({numbers[loosely(name)] for name in classes})

    for record in source.records:  # an error before anything is decoded
        of(record)
    return Labels(names, len(names), of)


def _split(classes: object) -> list[str]:
    return [name.strip() for name in str(classes).split(_SEPARATOR) if name.strip()]


def _beside(path: str) -> tuple[str, ...]:
    file = None if is_address(path) else Path(path).parent / CLASS_NAMES
    return tuple(read_class_names(str(file))) if file is not None and file.is_file() else ()
