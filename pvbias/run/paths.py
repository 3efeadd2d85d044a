"""Paths of a run: whether what it reads is there, and whether it can write, before anything is loaded.

``pvbias run`` begins with this, and ``pvbias submit`` does it before a job waits in the queue.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fvcore.common.config import CfgNode

from ..checkpoint_files import find_checkpoints
from ..config.lists import configured_streams, stream_path, video_list
from ..config.remembered import is_in_catalogue
from ..errors import ConfigError, DataError, WeightsError
from ..plugin_loading import load_plugins
from ..storage.shards import expand_braces, is_shards

if TYPE_CHECKING:
    from ..storage.addresses import Address

#: What lists are mostly called.
_LISTS = (".csv", ".jsonl", ".txt")


def check_paths(cfg: CfgNode, weights: str | None = None) -> None:
    """Check the files and folders that :func:`.job.run` will read, as far as its configuration alone tells which:
    weights, lists of videos, class names, and in a training the student's weights, optical flow and masks. Of addresses
    the catalogue has to know those of weights in a zoo; no server is asked, nor is it looked what is in a file.

    Args:
        cfg: a checked configuration, not completed.
        weights: what the run starts from (:func:`weights_source`); None: that is found out.

    Raises:
        WeightsError, DataError, ConfigError: something is not there; the message names the key.
    """
    if weights is None:
        weights = weights_source(cfg)
    tested = cfg.TEST.CHECKPOINT_FILE_PATH and not cfg.TRAIN.ENABLE
    key = "TEST.CHECKPOINT_FILE_PATH" if tested else "TRAIN.CHECKPOINT_FILE_PATH"
    if _is_missing(weights):
        raise WeightsError(f"{key} = {weights!r} does not exist{_here()}. Give a file, a folder or an address.")
    if weights.startswith("zoo://") and not is_in_catalogue(cfg, weights):
        from ..zoo import find_weights  # with torch

        load_plugins(cfg.PLUGINS)
        find_weights(weights)
    lists = list(_lists(cfg))
    for key, path in lists:
        check_list(path, key)
    names = cfg.DATA.CLASS_NAMES_FILE
    if lists and _is_missing(names):
        raise DataError(
            f"DATA.CLASS_NAMES_FILE = {names!r} does not exist{_here()}. Leave the key empty to take the "
            "names from the lists or the weights."
        )
    if cfg.TRAIN.ENABLE or "flow" in (cfg.DATA.MODALITY or ""):
        makes = "`pvbias flow extract` makes it; leave the key empty where nothing sees flow"
        _check_folder(cfg.DATA.FLOW_DIR, "DATA.FLOW_DIR", makes)
    if cfg.TRAIN.ENABLE:
        _check_folder(cfg.DATA.MASK_DIR, "DATA.MASK_DIR", "Leave the key empty where nothing reads masks")
        student = cfg.STUDENT.CHECKPOINT_FILE_PATH
        if "/" in student and _is_missing(student):  # others are names, such as "imagenet"
            raise WeightsError(
                f"STUDENT.CHECKPOINT_FILE_PATH = {student!r} does not exist{_here()}. Give a file or an address; leave "
                "the key empty where there is no student."
            )


def weights_source(cfg: CfgNode) -> str:
    """The checkpoint that the run starts from, or evaluates where it does not train; empty: none, random weights."""
    if cfg.TRAIN.ENABLE:
        return cfg.TRAIN.CHECKPOINT_FILE_PATH
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        return cfg.TEST.CHECKPOINT_FILE_PATH
    if find_checkpoints(cfg.OUTPUT_DIR):
        from ..engine import newest_checkpoint  # with torch

        return str(newest_checkpoint(cfg.OUTPUT_DIR) or cfg.TRAIN.CHECKPOINT_FILE_PATH)
    return cfg.TRAIN.CHECKPOINT_FILE_PATH


def check_list(path: str | Path | Address, key: str) -> None:
    """Check that a list of videos, a folder of them, or each tar file of a pattern is there; an address is not asked
    for.

    Raises:
        DataError: it is not.
    """
    parts = expand_braces(str(path)) if is_shards(path) else [str(path)]
    missing = next((part for part in parts if _is_missing(part)), None)
    if missing is not None:
        folder = os.path.dirname(os.path.expanduser(missing)) or "."
        lists = sorted(name for name in os.listdir(folder) if name.endswith(_LISTS)) if os.path.isdir(folder) else []
        there = f" In {folder} there are {', '.join(lists[:8])}{', ...' * (len(lists) > 8)}." if lists else ""
        raise DataError(
            f"There is no annotation {missing} ({key}){_here()}. Give a CSV of `path label` lines, a .jsonl, or a "
            f"folder of videos; `pvbias data prepare` writes those of data sets that are known by name.{there}"
        )


def check_output_dir(folder: str | os.PathLike) -> None:
    """Check that a folder for results can be made and written into; nothing is left behind.

    Raises:
        ConfigError: it cannot.
    """
    path = Path(folder).absolute()
    nearest = next(each for each in (path, *path.parents) if os.path.lexists(each))
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # a name that is too long, as that of a sweep's run may be
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ConfigError(
            f"The output folder {os.fspath(folder)!r} (OUTPUT_DIR) cannot be written: {nearest}: {error.strerror}. "
            "Choose a folder that you may write into."
        ) from error


def _lists(cfg: CfgNode) -> Iterator[tuple[str, Path | Address]]:
    """The lists of videos that are read for certain, with their keys."""
    wanted = {
        "train": cfg.TRAIN.ENABLE,
        "val": cfg.TRAIN.ENABLE and cfg.TRAIN.EVAL_PERIOD > 0,
        "test": cfg.TEST.ENABLE or cfg.BIAS.ENABLE,
    }
    for split, is_wanted in wanted.items():
        dataset = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
        if is_wanted and dataset == "videos":
            yield f"DATA.{split.upper()}_SPLIT", video_list(cfg, split)
    for name in configured_streams(cfg) if cfg.TRAIN.ENABLE else ():
        if cfg.DATA.STREAMS[name].DATASET == "videos":
            yield f"DATA.STREAMS.{name}.SPLIT", stream_path(cfg, cfg.DATA.STREAMS[name].SPLIT)


def _check_folder(folder: str, key: str, advice: str) -> None:
    if folder and not os.path.isdir(os.path.expanduser(folder)):
        raise ConfigError(f"{key} = {folder!r} is no folder{_here()}. {advice}.")


def _is_missing(path: str) -> bool:
    return bool(path) and "://" not in path and not os.path.exists(os.path.expanduser(path))


def _here() -> str:
    return f" (seen from {os.getcwd()!r})"
