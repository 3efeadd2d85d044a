"""Labels of videos for features: one class of each, or all that an attribute names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import VideoRecord, VideoSource, field_of
from ..data.annotations import CLASS_NAMES, loosely, read_class_names
from ..data.lookup import check_attributes
from ..errors import DataError, did_you_mean
from ..storage import is_address

#: A label: a class index, several of a video that shows several classes, or none.
Label = int | Sequence[int] | None

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


def label_array(labels: Sequence[Label], num_classes: int) -> np.ndarray:
    """Labels as an array: int64 ``(N,)``, -1: none; where videos may have several of K classes, bool ``(N, K)``."""
    if not num_classes:
        return np.array([-1 if label is None else label for label in labels], np.int64)
    found = np.zeros((len(labels), num_classes), np.bool_)
    for row, label in zip(found, labels, strict=True):
        row[list(label or ())] = True  # type: ignore[arg-type]
    return found


def label_list(labels: Sequence[Label] | np.ndarray, class_names: Sequence[str]) -> tuple[list[Label], int]:
    """The label of each video, and K where videos may have several, else 0.

    Args:
        labels: class index of each, -1 or None: none; or bool ``(N, K)``, or all class indices of each.
        class_names: in label order; empty: none.

    Raises:
        DataError: some have one label and others several, or K is not known, or a label is not below it.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        return [np.flatnonzero(row).tolist() for row in labels], labels.shape[1]
    several = [label for label in labels if isinstance(label, (Sequence, np.ndarray))]
    if not several:
        return [None if label is None or int(label) < 0 else int(label) for label in labels], 0  # type: ignore[arg-type]
    if len(several) < len(labels):
        one = next(label for label in labels if not isinstance(label, (Sequence, np.ndarray)))
        raise DataError(
            f"Labels are class indices, or sequences of them, of all videos alike: not {one!r} and {several[0]!r}."
        )
    if not class_names:
        raise DataError(
            f"Videos have several labels each, such as {several[0]!r}: give class_names, which say how many classes "
            "there are, or a bool array (N, K)."
        )
    found: list[Label] = [sorted({int(number) for number in label}) for label in several]
    wrong = next((number for label in several for number in label if not 0 <= number < len(class_names)), None)
    if wrong is not None:
        raise DataError(f"A video has the label {wrong}, and there are {len(class_names)} class_names.")
    return found, len(class_names)
