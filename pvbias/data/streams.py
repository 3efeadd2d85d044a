"""Streams of training clips: their sources, and the order of their samples.

A step takes a mini-batch of each stream. The first stream, "train", makes the epochs; each other one has epochs of its
own, as long as it takes to go through its videos, and goes on from step to step, whatever the epoch is::

    train   |  0  1  2  3  4  5 |  0  1  2  3  4  5 |     mini-batches of epoch 0 and 1
    target  |  0  1  2  3| 0  1    2  3| 0  1  2  3 |     mini-batches of its epochs 0, 1 and 2

The videos of mini-batch number k of a stream follow from (RNG_SEED, stream, k) alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

import numpy as np
from fvcore.common.config import CfgNode

from ..config.stream_keys import RESERVED
from ..distributed import is_main_process
from ..errors import ConfigError
from ..registries import DATASET
from .records import VideoSource
from .source import read_video_files

logger = logging.getLogger(__name__)

#: The stream that makes the epochs.
FIRST = "train"


def is_labelled(cfg: CfgNode, name: str) -> bool:
    """Whether a stream or split has labels that are the model's classes, as far as there are any."""
    streams = cfg.DATA.get("STREAMS", {})
    return name not in streams or streams[name].LABELLED


def build_stream(cfg: CfgNode, name: str) -> VideoSource:
    """Build the source of a stream beside the first one.

    Class names of a labelled list become numbers as those of a validation split do; a list without labels may have
    names of any classes.

    Args:
        cfg: completed configuration.
        name: one of :func:`pvbias.config.lists.configured_streams`.

    Raises:
        ConfigError: a SPLIT that is none of its DATASET's.
        DataError: the annotation cannot be read.
    """
    keys = cfg.DATA.STREAMS[name]
    if keys.DATASET == "videos":
        return read_video_files(cfg, keys.SPLIT, path_prefix=keys.PATH_PREFIX, labelled=keys.LABELLED)
    if keys.SPLIT not in RESERVED:
        raise ConfigError(
            f"DATA.STREAMS.{name}.SPLIT = {keys.SPLIT!r}: of the data set {keys.DATASET!r} it is one of "
            f"{', '.join(map(repr, RESERVED))}; a list of files goes with DATA.STREAMS.{name}.DATASET 'videos'."
        )
    return DATASET.get(keys.DATASET)(cfg, keys.SPLIT)


def choose_streams(cfg: CfgNode, names: Sequence[str], sources: Mapping[str, VideoSource]) -> dict[str, VideoSource]:
    """Build the sources of the streams that an objective needs, but for the first one.

    Args:
        cfg: completed configuration.
        names: of the streams that it needs.
        sources: those that there are.

    Raises:
        ConfigError: one of them is not configured.
    """
    for name in names:
        if name not in sources and name != FIRST:
            declared = name in cfg.DATA.get("STREAMS", {})
            what = (
                f"set DATA.STREAMS.{name}.SPLIT to their list"
                if declared
                else f'its plugin has to declare them: `declare_stream(cfg, "{name}", labelled=...)` in add_config(cfg)'
            )
            raise ConfigError(f"OBJECTIVE.NAME = {cfg.OBJECTIVE.NAME!r} needs clips of the stream {name!r}: {what}.")
    unused = [f"DATA.STREAMS.{name}.SPLIT" for name in sources if name not in names]
    if unused and is_main_process():
        listed = ", ".join(unused)
        logger.warning("OBJECTIVE.NAME = %r has no use for %s: nothing is read there", cfg.OBJECTIVE.NAME, listed)
    return {name: sources[name] for name in names if name != FIRST}


def stream_seed(cfg: CfgNode, name: str) -> list[int]:
    """The seed of a stream: RNG_SEED, and the name of any but the first."""
    digest = hashlib.sha256(name.encode()).digest()[:8]
    return [cfg.RNG_SEED] if name == FIRST else [cfg.RNG_SEED, int.from_bytes(digest, "big")]


def tracks_of(tracks: Sequence[str], name: str) -> list[str]:
    """The tracks of a stream among all that are asked for: ``flow`` is the first stream's, ``target.flow`` that of the
    stream "target"."""
    split = [track.rpartition(".") for track in tracks]
    return [track for stream, _, track in split if (stream or FIRST) == name]


class StreamOrder:
    """The samples of each mini-batch of a stream.

    Each of its epochs has an order drawn from (seed, epoch), which is cut into mini-batches; what remains at its end
    and is no full one is left for other epochs. A stream smaller than a mini-batch is repeated to fill one.

    Args:
        num_records: videos of the stream.
        batch_size: clips in a mini-batch, over all processes.
        seed: of the stream (:func:`stream_seed`).
        rank, world_size: of this process, which has its part of each mini-batch.
    """

    def __init__(self, num_records: int, batch_size: int, *, seed: Sequence[int], rank: int, world_size: int) -> None:
        self._num_records = num_records
        self._batch_size = batch_size
        self._seed = seed
        self._mine = slice(rank * (batch_size // world_size), (rank + 1) * (batch_size // world_size))
        self._latest: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """The number of mini-batches in an epoch."""
        return max(self._num_records // self._batch_size, 1)

    def batch(self, number: int) -> list[tuple[int, int]]:
        """The epoch and the record of each of this process's samples of a mini-batch.

        Args:
            number: of the mini-batch, counted from 0 through all epochs.
        """
        epoch, position = divmod(number, len(self))
        return [(epoch, int(index)) for index in self._batches(epoch)[position][self._mine]]

    def _batches(self, epoch: int) -> np.ndarray:
        """The records of each mini-batch of an epoch ``(mini-batches, batch_size)``."""
        if self._latest is None or self._latest[0] != epoch:
            order = np.random.default_rng([*self._seed, epoch]).permutation(self._num_records)
            order = np.resize(order, len(self) * self._batch_size)  # cut, or repeated
            self._latest = epoch, order.reshape(len(self), self._batch_size)
        return self._latest[1]
