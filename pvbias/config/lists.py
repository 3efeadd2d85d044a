"""The lists of videos that a configuration names."""

from __future__ import annotations

from pathlib import Path

from fvcore.common.config import CfgNode

from ..errors import DataError
from ..storage import Address, expand

#: Of lists, which a configuration may leave out.
_SUFFIXES = (".csv", ".jsonl")


def video_list(cfg: CfgNode, split: str) -> Path | Address:
    """Path of the annotation of "train", "val" or "test".

    Raises:
        DataError: the configuration names none.
    """
    path = split_path(cfg, split)
    if path is None:
        raise DataError(f"DATA.{split.upper()}_SPLIT names no annotation.")
    return path


def stream_path(cfg: CfgNode, path: str) -> Path | Address:
    """Path of the annotation of another stream."""
    return find_list(expand(cfg.DATA.PATH_TO_DATA_DIR) / expand(path))


def find_list(path: Path | Address) -> Path | Address:
    """A list by its path, from which the suffix may be left out: ``ucf101/train1`` is ``ucf101/train1.csv``, where
    nothing has just that name. An address is taken as it is.

    Raises:
        DataError: two lists may be meant.
    """
    if isinstance(path, Address) or not path.name or path.exists():
        return path
    found = [each for suffix in _SUFFIXES if (each := path.with_name(path.name + suffix)).is_file()]
    if len(found) > 1:
        raise DataError(f"{path} may be {found[0].name} or {found[1].name}: give the suffix, too.")
    return found[0] if found else path


def split_path(cfg: CfgNode, split: str) -> Path | Address | None:
    """Path of the annotation of "train", "val" or "test"; None where the configuration names none.

    A training split that nobody has named is none of a run that does not train: whatever lies in the working directory
    under the default's name has nothing to do with it.
    """
    name, folder = cfg.DATA[f"{split.upper()}_SPLIT"], cfg.DATA.PATH_TO_DATA_DIR
    unnamed = split == "train" and not cfg.TRAIN.ENABLE and not folder and is_default(cfg, split)
    return None if not name or unnamed else find_list(expand(folder) / expand(name))


def is_default(cfg: CfgNode, split: str) -> bool:
    """Whether the annotation of a split is named as it is by default."""
    from .defaults import get_cfg  # not in every process that loads videos

    key = f"{split.upper()}_SPLIT"
    return cfg.DATA[key] == get_cfg().DATA[key]


def configured_streams(cfg: CfgNode) -> list[str]:
    """Names of the streams beside the first one that have a SPLIT."""
    return [name for name, keys in cfg.DATA.get("STREAMS", {}).items() if keys.SPLIT]
