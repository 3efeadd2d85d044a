"""The part of some work that one of several jobs does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """The part of some work that one of several independent jobs does.

    Attributes:
        index: of this job, 0 .. count - 1.
        count: of jobs, >= 1.
    """

    index: int
    count: int
