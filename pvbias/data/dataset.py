"""Records -> clips, each a pure function of the configuration and of (seed, epoch, index): the worker, the process
and the order do not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..clips import Modulation, view_seeds
from ..video.video import BadVideoError
from .bad_videos import BadVideo
from .records import VideoRecord, VideoSource, check_label
from .sample import TestVideo, TrainSample, channels_first
from .sampling import SamplingRule, part_of_video
from .tracks import Track, read_clip
from .transforms import TestViews, TrainAugmentation
from .workers import Crashes

#: Videos tried for one training sample. At the largest sensible fraction of bad files, 10 %, one in 10**16 samples
#: runs out of them.
MAX_ATTEMPTS = 16


class SourceDataset(Dataset):
    """Videos of a source, for a loader whose worker processes may die of one.

    Args:
        source: the videos.
        tracks: what accompanies the clips, by name.

    Attributes:
        crashes: records that worker processes have died of.
    """

    def __init__(self, source: VideoSource, tracks: Mapping[str, Track]) -> None:
        self.crashes = Crashes()
        self._source = source
        self._tracks = tracks

    @property
    def records(self) -> Sequence[VideoRecord]:
        """Records of the source."""
        return self._source.records

    @property
    def modules(self) -> list[str]:
        """Modules that workers need beside this one."""
        return [type(each).__module__ for each in (self._source, *self._tracks.values())]


class TrainDataset(SourceDataset):
    """Training samples, asked for by ``(epoch, index)``.

    Args:
        source: the videos.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        seed: RNG_SEED.
        modulation: what each finished clip goes through; None: nothing.
        tracks: what the samples have beside their clips, by name.
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
        tracks: Mapping[str, Track],
    ) -> None:
        super().__init__(source, tracks)
        self._sampling = sampling
        self._augmentation = augmentation
        self._num_classes = num_classes
        self._seed = seed
        self._modulation = modulation

    def __getitem__(self, key: tuple[int, int]) -> TrainSample:
        """The sample; a bad video is replaced by others, drawn by the same key until one is good."""
        epoch, index = key
        others = np.random.default_rng([self._seed, epoch, index, 1])
        bad: list[BadVideo] = []
        for _ in range(MAX_ATTEMPTS):
            record = self._source.records[index]
            try:
                with self.crashes.at(index):
                    clip, tracks = self._clip(record, np.random.default_rng([self._seed, *key, 0]))
            except BadVideoError as error:
                bad.append(BadVideo.of(index, record, error, "train"))
                index = int(others.integers(len(self._source.records)))
            else:
                assert record.label is not None
                return TrainSample(clip=clip, tracks=tracks, label=record.label, name=record.name, bad=tuple(bad))
        return TrainSample(clip=None, label=-1, name="", bad=tuple(bad))

    def _clip(self, record: VideoRecord, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        check_label(record, self._num_classes)
        with closing(self._source.open(record)) as video:
            part = part_of_video(record, video.duration)
            times = self._sampling.random_clip(*part, rng, video.timestamps).tolist()
            view = self._augmentation.draw(rng)
            frames, values = read_clip(video, record, times, view.size, self._tracks)
        clip = view.clip(frames)
        if self._modulation is not None:
            clips = channels_first(np.ascontiguousarray(clip)[None])
            clip = self._modulation(clips, [int(rng.integers(2**63))])[0].permute(1, 2, 3, 0).numpy()
        tracks = {name: view.track(values[name], track.mirror) for name, track in self._tracks.items()}
        return clip, {name: tracks[name].astype(track.dtype) for name, track in self._tracks.items()}


class TestDataset(SourceDataset):
    """All test views of each video, asked for by the record's index.

    Args:
        source: the videos; labels may be None.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        split: for the list of bad videos.
        seed: RNG_SEED.
        modulation: what each view goes through; None: nothing.
        tracks: as in :class:`TrainDataset`.
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
        tracks: Mapping[str, Track],
    ) -> None:
        super().__init__(source, tracks)
        self._sampling = sampling
        self._views = views
        self._num_classes = num_classes
        self._split = split
        self._seed = seed
        self._modulation = modulation

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
            frames, values = read_clip(video, record, distinct.tolist(), self._views.size, self._tracks)
        order = place.reshape(times.shape)
        views = self._arranged(frames, order)
        if self._modulation is not None:
            # Other seeds than those of the evaluators' variants: a second shuffling is not the first one again.
            seeds = view_seeds(self._seed, record.name, len(views), purpose="data:")
            views = self._modulation(views, seeds).contiguous(memory_format=torch.channels_last_3d)
        tracks = {name: self._arranged(values[name].astype(track.dtype), order) for name, track in self._tracks.items()}
        return TestVideo(index=index, record=record, clips=views, tracks=tracks)

    def _arranged(self, frames: np.ndarray, order: np.ndarray) -> Tensor:
        """The views ``(V, C, T, size, size)`` of frames ``(F, h, w, C)``, whose numbers in each clip are ``order``
        ``(clips, T)``."""
        crops = self._views.crops(frames)
        size = self._views.crop_size
        clips = np.empty((len(order), len(crops), order.shape[1], size, size, frames.shape[-1]), frames.dtype)
        for number, crop in enumerate(crops):
            for clip, numbers in enumerate(order):
                clips[clip, number] = crop[numbers]
        return channels_first(clips.reshape(-1, *clips.shape[2:]))
