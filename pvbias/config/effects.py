"""The effects of configuration keys, as they were declared (:class:`.keys.Effect`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fvcore.common.config import CfgNode

from ..plugin_loading import load_plugins
from ..registries import MODEL_FAMILY
from .defaults import get_cfg
from .keys import DECLARED, Effect


def effects(cfg: CfgNode) -> dict[str, Effect]:
    """The effect of each key, by dotted name; also in a process that has received the configuration from another one,
    which has declared the plugins' keys."""
    scratch = get_cfg()
    for module in load_plugins(cfg.PLUGINS):
        if hasattr(module, "add_config"):
            module.add_config(scratch)
    if cfg.MODEL.MODEL_NAME in MODEL_FAMILY:
        MODEL_FAMILY.get(cfg.MODEL.MODEL_NAME).add_config(scratch)
    return {key: effect_of(key) for key in dict(flat(cfg)) | dict(flat(scratch))}


def effect_of(key: str) -> Effect:
    """The effect of a key; EVERYTHING, where nothing else was declared."""
    return DECLARED[key].effect if key in DECLARED else Effect.EVERYTHING


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All keys of a tree as (dotted key, value)."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
