"""Datasets of training and test clips, each clip a pure function of the configuration and of (seed, stream, epoch,
index)."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..clips import Modulation, view_seeds
from ..video.video import BadVideoError
from .bad_videos import BadVideo
from .records import VideoRecord, VideoSource, check_label
from .sample import FirstViews, TestVideo, TrainSample, channels_first
from .sampling import SamplingRule, part_of_video
from .tracks import Track, read_clip
from .transforms import TestViews, TrainAugmentation
from .workers import Crashes

#: Videos tried for one training sample. At the largest sensible fraction of bad files, 10 %, one in 10**16 samples
#: runs out of them.
MAX_ATTEMPTS = 16


#: Bytes of the views of a long video that are read together: more would be in memory at once, less be decoded twice
#: (from the last key frame before them on).
BYTES_AT_ONCE = 32 << 20


class SourceDataset(Dataset, abc.ABC):
    """Base of datasets for a loader whose worker processes may crash at a video.

    Attributes:
        crashes: videos that worker processes have died of, by number.
    """

    def __init__(self) -> None:
        self.crashes = Crashes()

    @abc.abstractmethod
    def record(self, number: int) -> VideoRecord:
        """The record with a number."""

    @property
    @abc.abstractmethod
    def modules(self) -> list[str]:
        """Modules that workers need beside this one."""


@dataclass(frozen=True, kw_only=True)
class TrainStream:
    """A stream's videos with the sampling and transforms of its training clips.

    Attributes:
        name: of the stream.
        source: the videos.
        labelled: clips have their videos' labels.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        seed: what all that is random follows from, beside the epoch and the record.
        modulation: what each finished clip goes through; None: nothing.
        tracks: what samples have beside their clips, by name.
    """

    name: str
    source: VideoSource
    sampling: SamplingRule
    augmentation: TrainAugmentation
    labelled: bool
    num_classes: int
    seed: Sequence[int]
    modulation: Modulation | None
    tracks: Mapping[str, Track]

    def clip(self, record: VideoRecord, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read a clip, uint8 ``(T, H, W, C)``, with its tracks, ``(T, H, W, D)``.

        Raises:
            BadVideoError: the video cannot be used.
        """
        if self.labelled:
            check_label(record.label, self.num_classes)
        with closing(self.source.open(record)) as video:
            part = part_of_video(record, video.duration)
            times = self.sampling.random_clip(*part, rng, video.timestamps).tolist()
            view = self.augmentation.draw(rng)
            frames, values = read_clip(video, record, times, view.size, self.tracks)
        clip = view.clip(frames)
        if self.modulation is not None:
            clips = channels_first(np.ascontiguousarray(clip)[None])
            clip = self.modulation(clips, [int(rng.integers(2**63))])[0].permute(1, 2, 3, 0).numpy()
        tracks = {name: view.track(values[name], track.mirror) for name, track in self.tracks.items()}
        return clip, {name: tracks[name].astype(track.dtype) for name, track in self.tracks.items()}


class TrainDataset(SourceDataset):
    """Training samples of one or several streams, with keys ``(stream, epoch, index)``.

    Args:
        streams: by name. Their videos are numbered one stream after another.
    """

    def __init__(self, streams: Sequence[TrainStream]) -> None:
        super().__init__()
        self._streams = {stream.name: stream for stream in streams}
        sizes = [len(stream.source.records) for stream in streams]
        self._first = dict(zip(self._streams, accumulate(sizes, initial=0), strict=False))

    def record(self, number: int) -> VideoRecord:
        """See :class:`SourceDataset`."""
        name = next(name for name, first in reversed(self._first.items()) if number >= first)
        return self._streams[name].source.records[number - self._first[name]]

    @property
    def modules(self) -> list[str]:
        """See :class:`SourceDataset`."""
        made = [each for stream in self._streams.values() for each in (stream.source, *stream.tracks.values())]
        return [type(each).__module__ for each in made]

    def __getitem__(self, key: tuple[str, int, int]) -> TrainSample:
        """The sample; a bad video is replaced by others of its stream, drawn by the same key until one is good."""
        name, epoch, index = key
        stream = self._streams[name]
        others = np.random.default_rng([*stream.seed, epoch, index, 1])
        choices = [*stream.seed, epoch, index, 0]
        bad: list[BadVideo] = []
        for _ in range(MAX_ATTEMPTS):
            record = stream.source.records[index]
            try:
                with self.crashes.at(self._first[name] + index):
                    clip, tracks = stream.clip(record, np.random.default_rng(choices))
            except BadVideoError as error:
                bad.append(BadVideo.of(index, record, error, name))
                index = int(others.integers(len(stream.source.records)))
            else:
                label = record.label if stream.labelled else None
                return TrainSample(
                    stream=name,
                    clip=clip,
                    tracks=tracks,
                    label=label,
                    name=record.name,
                    attributes=record.attributes,
                    bad=tuple(bad),
                )
        return TrainSample(stream=name, clip=None, bad=tuple(bad))


class TestDataset(SourceDataset):
    """All test views of each video, with the record's index as key; those of the temporal clips ``start .. stop - 1``
    with the key ``(index, start, stop)``.

    Args:
        source: the videos; labels may be None.
        num_classes: K; a label outside 0 .. K-1 makes a video bad.
        split: for the list of bad videos.
        seed: RNG_SEED.
        modulation: what each view goes through; None: nothing.
        tracks: what videos have beside their views, by name.
        in_pieces: of a video whose views are more than :data:`BYTES_AT_ONCE` bytes the first ones
            (:class:`.FirstViews`) instead of all.
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
        in_pieces: bool = False,
    ) -> None:
        super().__init__()
        self._source = source
        self._sampling = sampling
        self._views = views
        self._num_classes = num_classes
        self._split = split
        self._seed = seed
        self._modulation = modulation
        self._tracks = tracks
        self._bytes_at_once = BYTES_AT_ONCE if in_pieces else None

    def record(self, number: int) -> VideoRecord:
        """See :class:`SourceDataset`."""
        return self._source.records[number]

    @property
    def modules(self) -> list[str]:
        """See :class:`SourceDataset`."""
        return [type(each).__module__ for each in (self._source, *self._tracks.values())]

    def __getitem__(self, key: int | tuple[int, int, int]) -> TestVideo | FirstViews | BadVideo:
        """The video's views, or the reason why there are none."""
        index, *part = (key,) if isinstance(key, int) else key
        record = self._source.records[index]
        try:
            with self.crashes.at(index):
                return self._views_of(index, record, *part)
        except BadVideoError as error:
            return BadVideo.of(index, record, error, self._split)

    def _views_of(
        self, index: int, record: VideoRecord, start: int = 0, stop: int | None = None
    ) -> TestVideo | FirstViews:
        check_label(record.label, self._num_classes)
        with closing(self._source.open(record)) as video:
            part = part_of_video(record, video.duration)
            times = self._sampling.test_clips(*part, video.timestamps)  # (clips, T)
            at_once = self._clips_at_once(times) if stop is None else len(times)
            meant = times[start : min(len(times) if stop is None else stop, start + at_once)]
            distinct, place = np.unique(meant, return_inverse=True)  # windows overlap: one pass, each frame once
            # The size of frames is that of the first one that is read: it is the same one for each part of the views.
            first = times.min()
            ahead = int(first < distinct[0])
            read = [first] * ahead + distinct.tolist()
            frames, values = read_clip(video, record, read, self._views.size, self._tracks)
        order = ahead + place.reshape(meant.shape)
        views = self._arranged(frames, order)
        if self._modulation is not None:
            # Other seeds than those of the evaluators' variants: a second shuffling is not the first one again.
            before = start * self._views.num_crops
            seeds = view_seeds(self._seed, record.name, before + len(views), first=before, purpose="data:")
            views = self._modulation(views, seeds).contiguous(memory_format=torch.channels_last_3d)
        tracks = {name: self._arranged(values[name].astype(track.dtype), order) for name, track in self._tracks.items()}
        found = TestVideo(index=index, record=record, clips=views, tracks=tracks)
        if stop is None and len(meant) < len(times):
            return FirstViews(video=found, clips_at_once=at_once, num_clips=len(times))
        return found

    def _clips_at_once(self, times: np.ndarray) -> int:
        """Temporal clips to read together, of those with the frame times ``(clips, T)``."""
        if self._bytes_at_once is None:
            return len(times)
        one = times.shape[1] * self._views.crop_size**2 * 3 * self._views.num_crops
        return max(self._bytes_at_once // one, 1)

    def _arranged(self, frames: np.ndarray, order: np.ndarray) -> Tensor:
        """Assemble the views ``(V, C, T, size, size)`` of frames ``(F, h, w, C)``, whose numbers in each clip are
        ``order`` ``(clips, T)``."""
        crops = self._views.crops(frames)
        size = self._views.crop_size
        clips = np.empty((len(order), len(crops), order.shape[1], size, size, frames.shape[-1]), frames.dtype)
        for number, crop in enumerate(crops):
            for clip, numbers in enumerate(order):
                clips[clip, number] = crop[numbers]
        return channels_first(clips.reshape(-1, *clips.shape[2:]))
