"""Samples and mini-batches: clips with their labels, names and tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from .bad_videos import BadVideo
from .records import VideoRecord


@dataclass(frozen=True, kw_only=True)
class TrainSample:
    """One training clip, or None where no video could be used, and the bad videos met on the way.

    Attributes:
        clip: uint8 ``(T, H, W, C)``.
        tracks: what accompanies it, by name in the TRACK registry, ``(T, H, W, D)``.
    """

    clip: np.ndarray | None
    tracks: Mapping[str, np.ndarray] = field(default_factory=dict)
    label: int
    name: str
    bad: tuple[BadVideo, ...]


@dataclass(frozen=True, kw_only=True)
class TrainBatch:
    """A mini-batch.

    Attributes:
        clips: uint8 ``(N, C, T, H, W)``, in channels_last_3d memory.
        labels: int64 ``(N,)``.
        names: of the N videos, as the annotation writes them.
        bad: videos that others had to replace.
        tracks: what accompanies the clips, by name in the TRACK registry, ``(N, D, T, H, W)``, in the track's dtype.
    """

    clips: Tensor
    labels: Tensor
    names: list[str]
    bad: list[BadVideo]
    tracks: Mapping[str, Tensor] = field(default_factory=dict)

    def pin_memory(self) -> TrainBatch:
        """The same in page-locked memory (what the loader's pinning calls)."""
        return replace(
            self,
            clips=self.clips.pin_memory(),
            labels=self.labels.pin_memory(),
            tracks={name: values.pin_memory() for name, values in self.tracks.items()},
        )


@dataclass(frozen=True, kw_only=True)
class TestVideo:
    """All test views of one video.

    Attributes:
        index: position of its record in the annotation.
        clips: uint8 ``(V, C, T, H, W)``, channels_last_3d; V = temporal clips x spatial crops, the crops of one clip
            together.
        tracks: as in :class:`TrainBatch`, ``(V, D, T, H, W)``.
    """

    __test__ = False

    index: int
    record: VideoRecord
    clips: Tensor
    tracks: Mapping[str, Tensor] = field(default_factory=dict)


def collate(samples: Sequence[TrainSample]) -> TrainBatch | list[BadVideo]:
    """A mini-batch; only the bad videos when there is nothing for one of its places.

    numpy copies the frames: torch would start its thread pool for it, which costs more than the copy.
    """
    bad = [video for sample in samples for video in sample.bad]
    clips = [sample.clip for sample in samples if sample.clip is not None]
    if len(clips) < len(samples):
        return bad
    return TrainBatch(
        clips=channels_first(np.stack(clips)),
        labels=torch.tensor([sample.label for sample in samples]),
        names=[sample.name for sample in samples],
        bad=bad,
        tracks={
            name: channels_first(np.stack([sample.tracks[name] for sample in samples])) for name in samples[0].tracks
        },
    )


def channels_first(clips: np.ndarray) -> Tensor:
    """``(N, T, H, W, C)`` seen as ``(N, C, T, H, W)``, which is what channels_last_3d means; nothing is copied."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3)
