"""Samples and mini-batches: clips with their labels, names and tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from .attributes import NO_ATTRIBUTES, Attribute
from .bad_videos import BadVideo
from .records import VideoRecord
from .views import Views


@dataclass(frozen=True, kw_only=True)
class TrainSample:
    """One training clip, or None where no video could be used, and the bad videos on the way.

    Attributes:
        stream: that it is of.
        clip: uint8 ``(T, H, W, C)``.
        tracks: what accompanies it, by name in the TRACK registry, ``(T, H, W, D)``.
        label: None in a stream without labels.
        name, attributes: of the video's record.
    """

    stream: str
    clip: np.ndarray | None
    tracks: Mapping[str, np.ndarray] = field(default_factory=dict)
    label: int | None = None
    name: str = ""
    attributes: Mapping[str, Attribute] = NO_ATTRIBUTES
    bad: tuple[BadVideo, ...]


@dataclass(frozen=True, kw_only=True)
class TrainBatch:
    """A mini-batch of a stream.

    Attributes:
        clips: uint8 ``(N, C, T, H, W)``, in channels_last_3d memory.
        labels: int64 ``(N,)``; None in a stream without labels.
        names: of the N videos, as the annotation writes them.
        attributes: of the records of the N videos.
        bad: videos that others had to replace.
        tracks: what accompanies the clips, by name in the TRACK registry, ``(N, D, T, H, W)``, in the track's dtype.
        streams: mini-batches of the step's other streams, by name; of the first stream's mini-batch only.
    """

    clips: Tensor
    labels: Tensor | None
    names: list[str]
    bad: list[BadVideo]
    attributes: Sequence[Mapping[str, Attribute]] = ()
    tracks: Mapping[str, Tensor] = field(default_factory=dict)
    streams: Mapping[str, TrainBatch] = field(default_factory=dict)

    def pin_memory(self) -> TrainBatch:
        """A copy in page-locked memory (called by the DataLoader)."""
        return replace(
            self,
            clips=self.clips.pin_memory(),
            labels=None if self.labels is None else self.labels.pin_memory(),
            tracks={name: values.pin_memory() for name, values in self.tracks.items()},
            streams={name: batch.pin_memory() for name, batch in self.streams.items()},
        )


@dataclass(frozen=True, kw_only=True)
class TestVideo:
    """All test views of one video.

    Attributes:
        index: position of its record in the annotation.
        clips: uint8 ``(V, C, T, H, W)``, channels_last_3d; V = temporal clips x spatial crops, the crops of one clip
            together. Of a long video :class:`.Views`.
        tracks: as in :class:`TrainBatch`, ``(V, D, T, H, W)``.
    """

    __test__ = False

    index: int
    record: VideoRecord
    clips: Tensor | Views
    tracks: Mapping[str, Tensor | Views] = field(default_factory=dict)

    def pieces(self) -> Iterator[Tensor]:
        """The clips of all views in order: at once, and of a long video some at a time.

        Raises:
            BadViewsError: some of them cannot be had.
        """
        return self.clips.in_order() if isinstance(self.clips, Views) else iter([self.clips])


@dataclass(kw_only=True)
class FirstViews:
    """The beginning of a long video.

    Attributes:
        video: with its first views.
        clips_at_once: temporal clips that these are of.
        num_clips: temporal clips of the whole video.
    """

    video: TestVideo
    clips_at_once: int
    num_clips: int


def collate(samples: Sequence[TrainSample]) -> TrainBatch | list[BadVideo]:
    """The mini-batch of the first sample's stream, with those of the others; only the bad videos when there is nothing
    for one of the samples' places."""
    if any(sample.clip is None for sample in samples):
        return [video for sample in samples for video in sample.bad]
    names = dict.fromkeys(sample.stream for sample in samples)
    first, *others = (_batch([sample for sample in samples if sample.stream == name]) for name in names)
    return replace(first, streams=dict(zip(list(names)[1:], others, strict=True)))


def _batch(samples: Sequence[TrainSample]) -> TrainBatch:
    """Stack samples; by numpy, since torch would start its thread pool for it, which costs more than the copy."""
    labels = [sample.label for sample in samples if sample.label is not None]
    return TrainBatch(
        clips=channels_first(np.stack([sample.clip for sample in samples if sample.clip is not None])),
        labels=torch.tensor(labels) if labels else None,
        names=[sample.name for sample in samples],
        attributes=[sample.attributes for sample in samples],
        bad=[video for sample in samples for video in sample.bad],
        tracks={
            name: channels_first(np.stack([sample.tracks[name] for sample in samples])) for name in samples[0].tracks
        },
    )


def channels_first(clips: np.ndarray) -> Tensor:
    """View ``(N, T, H, W, C)`` as ``(N, C, T, H, W)``, which is what channels_last_3d means; nothing is copied."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3)
