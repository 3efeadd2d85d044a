"""Annotations of tar shards, as WebDataset names what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ...errors import DataError
from ...storage.shards import DESCRIPTION, LABEL, Shards
from ...video.frame_folder import natural_order
from .entries import Entry, Where
from .files import is_video
from .folders import named_entries
from .json_lists import item_entries


def shard_entries(shards: Shards) -> Iterator[Entry]:
    """The entries of tar shards, in the order of a folder that they are unpacked to, whatever lies in which shard.

    ``KEY.mp4`` (or another video's suffix) is a video, ``KEY.cls`` its label, ``KEY.json`` an object with what a line
    of a ``.jsonl`` has: label, start and end, attributes. Without any of these, folders are classes, as on a disk.

    Raises:
        DataError: a description is none, or belongs to several videos.
    """
    names = sorted(filter(is_video, shards), key=natural_order)
    if not any(_key(name) + suffix in shards.texts for name in names for suffix in (LABEL, DESCRIPTION)):
        yield from named_entries(names, [shards.path(name) for name in names])
        return
    videos: dict[str, str] = {}
    for name in names:
        other = videos.setdefault(_key(name), name)
        if other != name and {_key(name) + LABEL, _key(name) + DESCRIPTION} & shards.texts.keys():
            raise DataError(
                f"{shards}: {other!r} and {name!r} are videos of one sample, {_key(name)!r}, which has one label. "
                "Write a list of `path label` lines, and give the shards as DATA.PATH_PREFIX."
            )
    yield from item_entries(str(shards), [(Where(shards, repr(name)), _item(shards, name)) for name in names])


def _key(name: str) -> str:
    """WebDataset's ``__key__``: the name up to the first dot."""
    folder, leaf = os.path.split(name)
    return os.path.join(folder, leaf.split(".")[0])


def _item(shards: Shards, name: str) -> dict[str, Any]:
    """What a line of a ``.jsonl`` would say of a video."""
    item: dict[str, Any] = {}
    where = _key(name) + DESCRIPTION
    if where in shards.texts:
        try:
            item = json.loads(shards.texts[where])
        except (ValueError, RecursionError) as error:
            raise DataError(f"{shards}: {where!r} is not JSON: {error}") from error
        if not isinstance(item, dict):
            raise DataError(f"{shards}: {where!r} is no JSON object, which is what describes a video.")
    if _key(name) + LABEL in shards.texts:
        item = item | {"label": shards.texts[_key(name) + LABEL].strip()}
    return item | {"path": name}
