"""What each key decides: the trained weights, the figures, or neither.

A key that is not named here decides everything, and so does every key of a plugin that does not say otherwise (a dict
``EFFECTS`` in the plugin's module: dotted key or group -> :class:`Effect`). A new key is thereby one that matters until
somebody says that it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from fvcore.common.config import CfgNode

from ..plugin_loading import load_plugins


class Effect(Enum):
    """What a key decides."""

    #: Training and measuring.
    EVERYTHING = "everything"
    #: What is measured of a model, not how it is trained.
    MEASURING = "measuring"
    #: Likewise, and the validations of a training, too.
    VIEWS = "views"
    #: Figures over what was measured of each video, nothing else.
    FIGURES = "figures"
    #: Where, when and on which machine things are done; at most the last digits of a figure.
    NOTHING = "nothing"
    #: Which videos there are to train on: as EVERYTHING, but what counts is what is found there, not where it is.
    VIDEOS = "videos"
    #: A file or folder, of weights mostly: as EVERYTHING, but what counts is what is in it.
    CONTENT = "content"


#: By key or group; what is said of a key goes before what is said of its group.
EFFECTS: Mapping[str, Effect] = {
    "PLUGINS": Effect.NOTHING,  # what is taken from them has a key of its own
    "OUTPUT_DIR": Effect.NOTHING,
    "NUM_GPUS": Effect.NOTHING,
    "NUM_SHARDS": Effect.NOTHING,  # but see BASE_LR_SCALE_NUM_SHARDS
    "SHARD_ID": Effect.NOTHING,
    "DIST_BACKEND": Effect.NOTHING,
    "MEMORY_FORMAT": Effect.NOTHING,
    "LOG_PERIOD": Effect.NOTHING,
    "TENSORBOARD": Effect.NOTHING,
    "DATA_LOADER": Effect.NOTHING,
    "SLURM": Effect.NOTHING,
    "CHECKPOINT.MIN_MATCH": Effect.NOTHING,
    "DATA.MAX_BAD_FRACTION": Effect.NOTHING,
    "DATA.PATH_TO_DATA_DIR": Effect.VIDEOS,
    "DATA.TRAIN_SPLIT": Effect.VIDEOS,
    "DATA.VAL_SPLIT": Effect.VIDEOS,
    "DATA.PATH_PREFIX": Effect.VIDEOS,
    "DATA.LIST_FORMAT": Effect.VIDEOS,
    "DATA.LABELS_START_AT": Effect.VIDEOS,
    "DATA.CLASS_NAMES_FILE": Effect.VIDEOS,
    "DATA.TEST_SPLIT": Effect.MEASURING,
    "DATA.TEST_CROP_SIZE": Effect.VIEWS,
    "DATA.TEST_SHORT_SIDE": Effect.VIEWS,
    "DATA.WINDOW_STRIDE": Effect.VIEWS,
    "TRAIN.ENABLE": Effect.NOTHING,
    "TRAIN.CHECKPOINT_FILE_PATH": Effect.CONTENT,
    "TRAIN.CHECKPOINT_SHA256": Effect.NOTHING,
    "TRAIN.AUTO_RESUME": Effect.NOTHING,
    "TRAIN.RESUME_CHANGED": Effect.NOTHING,
    "TRAIN.CHECKPOINT_PERIOD": Effect.NOTHING,
    "TRAIN.CHECKPOINT_MINUTES": Effect.NOTHING,
    "TRAIN.CHECKPOINT_KEEP": Effect.NOTHING,
    "TRAIN.EVAL_PERIOD": Effect.NOTHING,
    "STUDENT.CHECKPOINT_FILE_PATH": Effect.CONTENT,
    "TEST": Effect.VIEWS,
    "TEST.ENABLE": Effect.MEASURING,
    "TEST.DATASET": Effect.MEASURING,
    "TEST.BATCH_SIZE": Effect.MEASURING,
    "TEST.CHECKPOINT_FILE_PATH": Effect.MEASURING,
    "BIAS": Effect.MEASURING,
    "BIAS.BOOTSTRAP_SAMPLES": Effect.FIGURES,
}


def effects(cfg: CfgNode) -> dict[str, Effect]:
    """:data:`EFFECTS` and those that the plugins of a configuration declare."""
    found = dict(EFFECTS)
    for module in load_plugins(cfg.PLUGINS):
        found |= getattr(module, "EFFECTS", {})
    return found


def effect_of(key: str, declared: Mapping[str, Effect]) -> Effect:
    """What a key decides, by the declaration of itself or of the innermost group that has one."""
    while key:
        if key in declared:
            return declared[key]
        key = key.rpartition(".")[0]
    return Effect.EVERYTHING


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of all keys of a tree."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
