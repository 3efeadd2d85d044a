"""Checks that the labels of a list and the outputs of a network are the same classes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from fvcore.common.config import CfgNode

from ..errors import ConfigError, DataError
from ..zoo import fetch, find_weights, peek_checkpoint
from ..zoo.hub_folders import class_names, read_json
from .annotations import loosely, read_class_names
from .record_list import field_of
from .records import VideoSource
from .source import is_checkpoint

logger = logging.getLogger(__name__)


def check_labels(cfg: CfgNode, source: VideoSource) -> None:
    """Raise where labels and the model's outputs are not, or may not be, the same classes.

    Args:
        cfg: completed configuration.
        source: the videos.

    Raises:
        ConfigError: the labels may be counted from 1, or there are not as many class names as outputs.
        DataError: the list has other classes than the model, whose names are not known.
    """
    names, classes = source.class_names, cfg.MODEL.NUM_CLASSES
    own = getattr(source, "own_names", False)
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    if not names or len(names) == classes:
        check_first_label(cfg, source, classes)
    if names and len(names) != classes and own:
        raise DataError(
            f"{source.description} has {len(names)} classes by name ({listed}), the model {classes} outputs, and "
            "nothing says which output is which class: give the names of all outputs, in order, as --class-names "
            "(DATA.CLASS_NAMES_FILE)."
        )
    elif names and len(names) != classes:
        file = cfg.DATA.CLASS_NAMES_FILE
        raise ConfigError(
            f"{f'DATA.CLASS_NAMES_FILE = {file!r}' if file else source.description} names {len(names)} classes "
            f"({listed}), and the model has {classes} outputs."
        )
    elif own and not cfg.TRAIN.ENABLE:
        logger.info(
            "Classes are numbered by their sorted names: 0 %s, 1 %s, ... If the model was trained with another order, "
            "give it as --class-names (DATA.CLASS_NAMES_FILE).",
            *names[:2],
        )


def check_same_kind(cfg: CfgNode, training: VideoSource, other: VideoSource) -> None:
    """Raise where the labels of two sources are not the same classes: their names have another order, or one of two
    lists has class names and the other numbers, and no file says which is which.

    Raises:
        ConfigError: each label would be taken for another class.
    """
    ours, theirs = ([loosely(name) for name in source.class_names] for source in (training, other))
    moved = next((number for number, pair in enumerate(zip(ours, theirs, strict=False)) if len({*pair}) > 1), None)
    if moved is not None:
        raise ConfigError(
            f"Class {moved} is {training.class_names[moved]!r} in {training.description} and "
            f"{other.class_names[moved]!r} in {other.description}. Give the names in label order as "
            "DATA.CLASS_NAMES_FILE, or data sets that number their classes alike."
        )
    if cfg.DATA.CLASS_NAMES_FILE or not (hasattr(training, "own_names") and hasattr(other, "own_names")):
        return  # generated videos number their classes alike
    for names, numbers in ((training, other), (other, training)):
        if names.class_names and not numbers.class_names and {*field_of(numbers.records, "label")} - {None}:
            raise ConfigError(
                f"{names.description} has class names, and {numbers.description} numbers: which number is which class? "
                "Give the names in label order as DATA.CLASS_NAMES_FILE."
            )


def check_first_label(cfg: CfgNode, source: VideoSource, num_classes: int) -> None:
    """Raise where labels that are written as numbers run from 1 to the number of classes, as UCF101's own lists have
    them.

    Raises:
        ConfigError: they do, and DATA.LABELS_START_AT does not say what is meant.
    """
    if cfg.DATA.LABELS_START_AT is not None or (source.class_names and getattr(source, "labels_by_name", True)):
        return
    labels = {*field_of(source.records, "label")} - {None}
    if len(labels) < 2 or min(labels) != 1:
        return
    # A list of few classes may well lack the first one; not one of most classes that lacks no other.
    last = max(labels)
    if last == num_classes or (2 * last > num_classes and len(labels) == last):
        raise ConfigError(
            f"The labels of {source.description} run from 1 to {last}, and none is 0. Is 1 the first class? Then set "
            "DATA.LABELS_START_AT to 1 (--labels-start-at 1). Is there a class 0, of which the list has no video? Then "
            "set it to 0."
        )


def checkpoint_names(source: str, sha256: str = "") -> tuple[str, ...]:
    """The class names of a checkpoint's outputs, in order; empty: they are not known.

    Args:
        source: ``zoo://<zoo>/<model>/<weights>``, a file that a training of pvbias has written, or a folder as the
            Hugging Face hub has them; or the address of one.
        sha256: expected checksum of what an address leads to, as for :func:`pvbias.zoo.fetch`.

    Raises:
        WeightsError: there is no such entry, or the file cannot be read.
    """
    if source.startswith("zoo://"):
        return tuple(find_weights(source).class_names)
    path = Path(fetch(source, sha256)) if "://" in source else Path(os.path.expanduser(source))
    if path.is_dir():
        config = path / "config.json"
        return tuple(class_names(read_json(config))) if config.is_file() else ()
    return tuple(peek_checkpoint(str(path)).get("class_names", ())) if path.is_file() else ()


def check_order(file: str, names: Sequence[str], source: str) -> None:
    """Raise where a file has the classes of a checkpoint's outputs in another order.

    Args:
        file: DATA.CLASS_NAMES_FILE.
        names: those of the checkpoint's outputs, in order, as it says itself.
        source: of the checkpoint.

    Raises:
        ConfigError: each output would be taken for another class.
    """
    given = checkpoint_names(file) if is_checkpoint(file) else read_class_names(file)
    places = {loosely(name): number for number, name in enumerate(names)}
    if len(places) < len(names) or len({*map(loosely, given)}) < len(given):
        return  # names that are told apart by their spelling alone
    moved = [(number, name) for number, name in enumerate(given) if places.get(loosely(name), number) != number]
    if moved:
        number, name = moved[0]
        raise ConfigError(
            f"DATA.CLASS_NAMES_FILE = {file!r} has {name!r} as class {number}, and in {source!r}, which knows the "
            f"names of its outputs, that is {places[loosely(name)]} ({len(moved)} of {len(given)} classes differ). "
            "Leave DATA.CLASS_NAMES_FILE (--class-names) out to take the checkpoint's order. If the list has numbers "
            "in the file's order, write its names in their place."
        )


def same_names(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two lists name the same classes, in any order and spelling."""
    return len(names) == len(others) and sorted(map(loosely, names)) == sorted(map(loosely, others))
