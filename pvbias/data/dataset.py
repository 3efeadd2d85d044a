"""Records -> clips, each a pure function of the configuration and of (seed, epoch, index): the worker, the process
and the order do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..clips import Modulation, view_seeds
from ..video.video import BadVideoError
from .bad_videos import BadVideo
from .flow import FlowSource, clip_flow
from .records import VideoRecord, VideoSource, check_label
from .sampling import SamplingRule, part_of_video
from .transforms import TestViews, TrainAugmentation
from .workers import Crashes

#: Videos tried for one training sample. At the largest sensible fraction of bad files, 10 %, one in 10**16 samples
#: runs out of them.
MAX_ATTEMPTS = 16


@dataclass(frozen=True, kw_only=True)
class TrainSample:
    """One training clip, or None where no video could be used, and the bad videos met on the way.

    Attributes:
        clip: uint8 ``(T, H, W, C)``.
        flow: its optical flow, float16 ``(T, H, W, 2)``, where it was asked for.
    """

    clip: np.ndarray | None
    flow: np.ndarray | None = None
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
        flow: the clips' optical flow, where it was asked for: float16 ``(N, 2, T, H, W)``, to the right and down,
            pixels in ``1 / DATA.TARGET_FPS`` seconds.
    """

    clips: Tensor
    labels: Tensor
    names: list[str]
    bad: list[BadVideo]
    flow: Tensor | None = None

    def pin_memory(self) -> TrainBatch:
        """The same in page-locked memory (what the loader's pinning calls)."""
        return TrainBatch(
            clips=self.clips.pin_memory(),
            labels=self.labels.pin_memory(),
            names=self.names,
            bad=self.bad,
            flow=None if self.flow is None else self.flow.pin_memory(),
        )


@dataclass(frozen=True, kw_only=True)
class TestVideo:
    """All test views of one video.

    Attributes:
        index: position of its record in the annotation.
        clips: uint8 ``(V, C, T, H, W)``, channels_last_3d; V = temporal clips x spatial crops, the crops of one clip
            together.
        flow: as in :class:`TrainBatch`, where it was asked for: float16 ``(V, 2, T, H, W)``.
    """

    __test__ = False

    index: int
    record: VideoRecord
    clips: Tensor
    flow: Tensor | None = None


class SourceDataset(Dataset):
    """Videos of a source, for a loader whose worker processes may die of one.

    Args:
        source: the videos.

    Attributes:
        crashes: records that worker processes have died of.
    """

    def __init__(self, source: VideoSource) -> None:
        self.crashes = Crashes()
        self._source = source

    @property
    def records(self) -> Sequence[VideoRecord]:
        """Records of the source."""
        return self._source.records

    @property
    def modules(self) -> list[str]:
        """Modules that workers need beside this one."""
        return [type(self._source).__module__]


class TrainDataset(SourceDataset):
    """Training samples, asked for by ``(epoch, index)``.

    Args:
        source: the videos.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        seed: RNG_SEED.
        modulation: what each finished clip goes through; None: nothing.
        flow: knows the videos' optical flow, which the samples then have, too.
        fps: DATA.TARGET_FPS, which that is told in.
    """

    def __init__(
        self,
        source: VideoSource,
        *,
        sampling: SamplingRule,
        augmentation: TrainAugmentation,
        num_classes: int,
        seed: int,
        modulation: Modulation | None = None,
        flow: FlowSource | None = None,
        fps: float = 30.0,
    ) -> None:
        super().__init__(source)
        self._sampling = sampling
        self._augmentation = augmentation
        self._num_classes = num_classes
        self._seed = seed
        self._modulation = modulation
        self._flow = flow
        self._fps = fps

    def __getitem__(self, key: tuple[int, int]) -> TrainSample:
        """The sample; a bad video is replaced by others, drawn by the same key until one is good."""
        epoch, index = key
        others = np.random.default_rng([self._seed, epoch, index, 1])
        bad: list[BadVideo] = []
        for _ in range(MAX_ATTEMPTS):
            record = self._source.records[index]
            try:
                with self.crashes.at(index):
                    clip, flow = self._clip(record, np.random.default_rng([self._seed, *key, 0]))
            except BadVideoError as error:
                bad.append(BadVideo.of(index, record, error, "train"))
                index = int(others.integers(len(self._source.records)))
            else:
                assert record.label is not None
                return TrainSample(clip=clip, flow=flow, label=record.label, name=record.name, bad=tuple(bad))
        return TrainSample(clip=None, label=-1, name="", bad=tuple(bad))

    def _clip(self, record: VideoRecord, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        check_label(record, self._num_classes)
        with closing(self._source.open(record)) as video:
            part = part_of_video(record, video.duration)
            times = self._sampling.random_clip(*part, rng, video.timestamps).tolist()
            view = self._augmentation.draw(rng)
            frames, duration = video.read(times, view.size), video.duration
        clip = view.clip(frames)
        if self._modulation is not None:
            clips = _channels_first(np.ascontiguousarray(clip)[None])
            clip = self._modulation(clips, [int(rng.integers(2**63))])[0].permute(1, 2, 3, 0).numpy()
        if self._flow is None:
            return clip, None
        flow = clip_flow(self._flow, record, duration, times, frames.shape[1:3], self._fps)
        return clip, view.flow(flow).astype(np.float16)


class TestDataset(SourceDataset):
    """All test views of each video, asked for by the record's index.

    Args:
        source: the videos; labels may be None.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        split: for the list of bad videos.
        seed: RNG_SEED.
        modulation: what each view goes through; None: nothing.
        flow, fps: as in :class:`TrainDataset`.
    """

    __test__ = False

    def __init__(
        self,
        source: VideoSource,
        *,
        sampling: SamplingRule,
        views: TestViews,
        num_classes: int,
        split: str,
        seed: int,
        modulation: Modulation | None = None,
        flow: FlowSource | None = None,
        fps: float = 30.0,
    ) -> None:
        super().__init__(source)
        self._sampling = sampling
        self._views = views
        self._num_classes = num_classes
        self._split = split
        self._seed = seed
        self._modulation = modulation
        self._flow = flow
        self._fps = fps

    def __getitem__(self, index: int) -> TestVideo | BadVideo:
        """The video, or why there is none."""
        record = self._source.records[index]
        try:
            with self.crashes.at(index):
                return self._views_of(index, record)
        except BadVideoError as error:
            return BadVideo.of(index, record, error, self._split)

    def _views_of(self, index: int, record: VideoRecord) -> TestVideo:
        check_label(record, self._num_classes)
        with closing(self._source.open(record)) as video:
            part = part_of_video(record, video.duration)
            times = self._sampling.test_clips(*part, video.timestamps)  # (clips, T)
            distinct, place = np.unique(times, return_inverse=True)  # windows overlap: one pass, each frame once
            frames, duration = video.read(distinct.tolist(), self._views.size), video.duration
        order = place.reshape(times.shape)
        views = self._arranged(frames, order)
        if self._modulation is not None:
            # Other seeds than those of the evaluators' variants: a second shuffling is not the first one again.
            seeds = view_seeds(self._seed, record.name, len(views), purpose="data:")
            views = self._modulation(views, seeds).contiguous(memory_format=torch.channels_last_3d)
        if self._flow is None:
            return TestVideo(index=index, record=record, clips=views)
        flow = clip_flow(self._flow, record, duration, distinct.tolist(), frames.shape[1:3], self._fps)
        return TestVideo(index=index, record=record, clips=views, flow=self._arranged(flow.astype(np.float16), order))

    def _arranged(self, frames: np.ndarray, order: np.ndarray) -> Tensor:
        """The views ``(V, C, T, size, size)`` of frames ``(F, h, w, C)``, whose numbers in each clip are ``order``
        ``(clips, T)``."""
        crops = self._views.crops(frames)
        size = self._views.crop_size
        clips = np.empty((len(order), len(crops), order.shape[1], size, size, frames.shape[-1]), frames.dtype)
        for number, crop in enumerate(crops):
            for clip, numbers in enumerate(order):
                clips[clip, number] = crop[numbers]
        return _channels_first(clips.reshape(-1, *clips.shape[2:]))


def collate(samples: Sequence[TrainSample]) -> TrainBatch | list[BadVideo]:
    """A mini-batch; only the bad videos when there is nothing for one of its places.

    numpy copies the frames: torch would start its thread pool for it, which costs more than the copy.
    """
    bad = [video for sample in samples for video in sample.bad]
    clips = [sample.clip for sample in samples if sample.clip is not None]
    if len(clips) < len(samples):
        return bad
    flows = [sample.flow for sample in samples if sample.flow is not None]
    return TrainBatch(
        clips=_channels_first(np.stack(clips)),
        labels=torch.tensor([sample.label for sample in samples]),
        names=[sample.name for sample in samples],
        bad=bad,
        flow=_channels_first(np.stack(flows)) if flows else None,
    )


def _channels_first(clips: np.ndarray) -> Tensor:
    """``(N, T, H, W, C)`` seen as ``(N, C, T, H, W)``, which is what channels_last_3d means; nothing is copied."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3)
