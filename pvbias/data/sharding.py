"""Which process does what: the parts of an array of jobs, and who measures which test videos."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fvcore.common.config import CfgNode

from .records import VideoRecord
from .sampling import sampling_rule

#: Shares that a data set is cut into at least, where it has as many videos: enough for processes to get equal parts.
_FEWEST_SHARES = 64


@dataclass(frozen=True)
class Shard:
    """A part of some work of which jobs without any connection each do one.

    Attributes:
        index: 0 .. count - 1.
        count: how many parts there are, >= 1.
    """

    index: int
    count: int


def cut(cfg: CfgNode, records: Sequence[VideoRecord]) -> list[range]:
    """Consecutive records that are measured together, by their numbers; all records, in order.

    The views of a share go through the model in batches of their own. Who measures the other shares, in which order,
    and whether in this attempt or in an earlier one, then changes no bit of a video's logits. For the same reason the
    cut must not know the number of processes.

    A share is the fewest videos whose views fill whole batches of TEST.BATCH_SIZE, and one video where "windows" are
    sampled, whose number differs from video to video. Small data sets are cut finer, up to single videos.
    """
    size = 1
    if cfg.DATA.TEMPORAL_SAMPLING != "windows":
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        whole = cfg.TEST.BATCH_SIZE // math.gcd(views, cfg.TEST.BATCH_SIZE)
        size = max(1, min(whole, len(records) // _FEWEST_SHARES))
    return [range(start, min(start + size, len(records))) for start in range(0, len(records), size)]


def deal(cfg: CfgNode, records: Sequence[VideoRecord], shares: Sequence[range], world_size: int) -> list[list[range]]:
    """The shares of each process, in order: none twice, none added, all processes with about as much to measure.

    The largest share first, each to the process that has the least (the first one of several): where all are alike
    that is one after another in turn. How large a share is: its number of videos, for a video's views are as many
    however long it is; its seconds, where "windows" are sampled and the annotation says where all videos end. Where it
    does not, nothing tells how long they are before they are opened.
    """
    ends = [record.end for record in records if record.end is not None]
    sizes: list[float] = [len(share) for share in shares]
    if cfg.DATA.TEMPORAL_SAMPLING == "windows" and len(ends) == len(records):
        window = sampling_rule(cfg).span or 0.0
        seconds = [max(end - (record.start or 0.0), window) for end, record in zip(ends, records, strict=True)]
        sizes = [sum(seconds[index] for index in share) for share in shares]
    dealt: list[list[range]] = [[] for _ in range(world_size)]
    loads = [(0.0, rank) for rank in range(world_size)]
    for number in sorted(range(len(shares)), key=lambda number: -sizes[number]):
        load, rank = loads[0]
        dealt[rank].append(shares[number])
        heapq.heapreplace(loads, (load + sizes[number], rank))
    return [sorted(mine, key=lambda share: share.start) for mine in dealt]
