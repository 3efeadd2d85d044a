"""The configuration in a checkpoint, and the comparison of its clip settings with a run's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

#: Keys of DATA that say what clips weights were trained on.
_CLIPS = ("NUM_FRAMES", "TEMPORAL_SAMPLING", "TARGET_FPS", "TRAIN_CROP_SIZE", "MODALITY", "MODULATION", "MEAN", "STD")


class _Loader(yaml.SafeLoader):
    """Reads the tuples, too, that SlowFast's configurations have."""


def _tuple(loader: yaml.SafeLoader, node: Any) -> list[Any]:
    return loader.construct_sequence(node)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)


def own_configuration(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of pvbias or SlowFast in a checkpoint, values by dotted key; empty: there is none."""
    tree = checkpoint.get("cfg")
    if isinstance(tree, str):
        try:
            tree = yaml.load(tree, _Loader)
        except yaml.YAMLError:  # of another program
            return {}
    groups = tree.items() if isinstance(tree, Mapping) else ()
    return {
        f"{group}.{key}": value for group, keys in groups if isinstance(keys, Mapping) for key, value in keys.items()
    }


def other_clips(checkpoint: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Differences between the clips of a checkpoint's own configuration and a run's: dotted key -> (its value, that of
    ``data``).

    Args:
        checkpoint: as read (:func:`pvbias.zoo.read_checkpoint`).
        data: ``DATA`` of a completed configuration. What a checkpoint does not say, as SlowFast's do not say how frames
            are sampled, counts as the same.
    """
    configured = own_configuration(checkpoint)
    theirs = {key: value for key in data if (value := configured.get(f"DATA.{key}")) is not None}
    duration = "duration" in (theirs.get("TEMPORAL_SAMPLING"), data["TEMPORAL_SAMPLING"])
    keys = (*_CLIPS, "CLIP_DURATION" if duration else "SAMPLING_RATE")
    return {
        f"DATA.{key}": (theirs[key], data[key])
        for key in keys
        if key in theirs and _plain(theirs[key]) != _plain(data[key])
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
