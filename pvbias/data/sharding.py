"""Sharding: which process evaluates which videos."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from fvcore.common.config import CfgNode

from .record_list import field_of
from .records import VideoRecord
from .sampling import sampling_rule

#: Chunks that a data set is split into at least, where it has as many videos: enough for processes to get equal parts.
_MIN_CHUNKS = 64


def split_into_chunks(cfg: CfgNode, records: Sequence[VideoRecord]) -> list[range]:
    """Split the records into chunks of consecutive ones that are evaluated together, as ranges of their numbers.

    The views of a chunk go through the model in batches of their own. Who evaluates the other chunks, in which order,
    and whether in this attempt or in an earlier one, then changes no bit of a video's logits. For the same reason the
    split does not depend on the number of processes.

    A chunk is the fewest videos whose views fill whole batches of TEST.BATCH_SIZE, and one video where "windows" are
    sampled, whose number differs from video to video. Small data sets are split finer, up to single videos.
    """
    size = 1
    if cfg.DATA.TEMPORAL_SAMPLING != "windows":
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        whole = cfg.TEST.BATCH_SIZE // math.gcd(views, cfg.TEST.BATCH_SIZE)
        size = max(1, min(whole, len(records) // _MIN_CHUNKS))
    return [range(start, min(start + size, len(records))) for start in range(0, len(records), size)]


def assign_chunks(
    cfg: CfgNode, records: Sequence[VideoRecord], chunks: Sequence[range], world_size: int
) -> list[list[range]]:
    """The chunks of each process, in order: none twice, none added, all processes with about as much to evaluate.

    The largest chunk first, each to the process that has the least (the first one of several): where all are alike
    that is one after another in turn. The size of a chunk is its number of videos, for a video's views are as many
    however long it is; its seconds, where "windows" are sampled and the annotation says where all videos end. Where it
    does not, nothing tells how long they are before they are opened.
    """
    sizes: list[float] = [len(chunk) for chunk in chunks]
    if cfg.DATA.TEMPORAL_SAMPLING == "windows" and None not in (ends := field_of(records, "end")):
        starts = field_of(records, "start")
        window = sampling_rule(cfg).span or 0.0
        seconds = [max(end - (start or 0.0), window) for start, end in zip(starts, ends, strict=True)]
        sizes = [sum(seconds[index] for index in chunk) for chunk in chunks]
    assigned: list[list[range]] = [[] for _ in range(world_size)]
    loads = [(0.0, rank) for rank in range(world_size)]
    for number in sorted(range(len(chunks)), key=lambda number: -sizes[number]):
        load, rank = loads[0]
        assigned[rank].append(chunks[number])
        heapq.heapreplace(loads, (load + sizes[number], rank))
    return [sorted(mine, key=lambda chunk: chunk.start) for mine in assigned]
