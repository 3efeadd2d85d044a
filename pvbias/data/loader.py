"""Data loaders whose batches do not depend on the number of workers and processes."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from ..clips import ORIGINAL, Modulation, modulation
from ..errors import ConfigError, DataError
from ..interruption import undisturbed
from ..machine import keep_freed_memory
from ..modalities import RGB_AND_FLOW
from .bad_videos import BadVideo
from .dataset import SourceDataset, TestDataset, TrainDataset, TrainStream
from .flow import FlowClips, RgbAndFlowClips, find_flow
from .record_list import field_of
from .records import VideoSource
from .sample import FirstViews, TestVideo, TrainBatch, collate
from .sampling import sampling_rule
from .sharding import assign_chunks, split_into_chunks
from .streams import FIRST, StreamOrder, stream_seed, tracks_of
from .tracks import build_tracks
from .transforms import TestViews, TrainAugmentation
from .views import BadViewsError, Views
from .workers import Death, WorkerContext, worker_context

logger = logging.getLogger(__name__)


class TrainLoader:
    """Mini-batches of this process, epoch by epoch; made by :func:`build_train_loader`.

    Those of the first stream, which have those of the others with them (:attr:`.TrainBatch.streams`). Workers that are
    done with an epoch go on with the next one, so that its first mini-batches are there when they are asked for.
    """

    def __init__(self, loader: _Loader, steps: _Steps, *, num_epochs: int) -> None:
        """Args: ``num_epochs``: of the training, which workers do not look beyond by themselves."""
        self._loader = loader
        self._steps = steps
        self._num_epochs = num_epochs
        #: The number of the next mini-batch that is on its way, counted from the first epoch, with those after it.
        self._coming: tuple[int, Iterator[Any]] | None = None

    def __len__(self) -> int:
        """The number of mini-batches in an epoch."""
        return len(self._steps)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TrainBatch]:
        """Iterate over the mini-batches of an epoch, the same ones whenever they are asked for.

        Args:
            epoch: counted from 0.
            start: mini-batches to leave out at its beginning; their videos are not read.

        Raises:
            DataError: nothing but bad videos where a sample should be, or a worker process that was killed.
        """
        number, end = epoch * len(self) + start, (epoch + 1) * len(self)
        items = self._items(number, end)
        while number < end:
            self._coming = None
            batch = next(items)
            number += 1
            if not isinstance(batch, TrainBatch):
                listed = "".join(f"\n  {video}" for video in batch[:5])
                raise DataError(
                    f"Epoch {epoch}: after {len(batch)} bad videos there is still none to train on. The first ones:"
                    f"{listed}\nCheck DATA.PATH_PREFIX, and that MODEL.NUM_CLASSES fits the labels."
                )
            own = self._coming = (number, items)
            yield batch
            if self._coming is not own:  # which its workers have left
                raise RuntimeError(f"Epoch {epoch} goes on after another one of the same loader has begun.")

    def _items(self, number: int, end: int) -> Iterator[Any]:
        """The mini-batches from a number on, to the end of an epoch at least."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == number and end <= self._steps.stop:
            return coming[1]
        self._steps.stop = max(end, self._num_epochs * len(self))
        return self._loader.items(number)


class TestLoader:
    """The test videos of this process, in annotation order; made by :func:`build_test_loader`.

    Attributes:
        chunks: numbers of the records, in order, in the chunks that are evaluated together.
    """

    __test__ = False

    def __init__(self, cfg: CfgNode, dataset: TestDataset, chunks: Sequence[range]) -> None:
        indices = _InOrder([index for chunk in chunks for index in chunk])
        self._loader = _Loader(cfg, dataset, indices, persistent=False, batched=False)
        self._dataset = dataset
        # The rest of a long video, by workers of their own, which stay for the next one.
        self._parts = _InOrder([])
        self._rest = _Loader(cfg, dataset, self._parts, persistent=True, batched=False)
        self.chunks = chunks

    def __len__(self) -> int:
        """The number of videos."""
        return sum(len(chunk) for chunk in self.chunks)

    def __iter__(self) -> Iterator[TestVideo | BadVideo]:
        """All views of each video, or the reason why there are none.

        Raises:
            DataError: a worker process was killed.
        """
        for item in self._loader.items():
            yield self._long(item) if isinstance(item, FirstViews) else item

    def _long(self, first: FirstViews) -> TestVideo:
        size, index = first.clips_at_once, first.video.index
        crops = len(first.video.clips) // size

        def part(start: int, stop: int) -> TestVideo:
            keep_freed_memory(False)
            clips = (start // crops, -(-stop // crops))
            key = (index, *clips)
            found = self._dataset[key]
            if isinstance(found, BadVideo):
                raise BadViewsError(found)
            assert isinstance(found, TestVideo)
            views = slice(start - clips[0] * crops, stop - clips[0] * crops)
            tracks = {name: values[views] for name, values in found.tracks.items()}
            return replace(found, clips=found.clips[views], tracks=tracks)

        def in_order(loaded: list[Tensor]) -> Iterator[Tensor]:
            yield loaded.pop()
            starts = range(size, first.num_clips, size)
            self._parts.keys = [(index, start, min(start + size, first.num_clips)) for start in starts]
            for item in self._rest.items():
                if isinstance(item, BadVideo):
                    raise BadViewsError(item)
                yield item.clips

        def of_all(values: Tensor | Views) -> torch.Size:
            return torch.Size([first.num_clips * crops, *values.shape[1:]])

        def track(name: str) -> Views:
            shape = of_all(first.video.tracks[name])
            return Views(shape, lambda start, stop: part(start, stop).tracks[name][:])

        # The first views are held by nothing else, and are gone as soon as they are through.
        stream = partial(in_order, [first.video.clips[:]])
        clips = Views(of_all(first.video.clips), lambda start, stop: part(start, stop).clips[:], stream)
        video = replace(first.video, clips=clips, tracks={name: track(name) for name in first.video.tracks})
        first.video = video
        return video


def build_train_loader(
    cfg: CfgNode,
    source: VideoSource,
    *,
    rank: int,
    world_size: int,
    tracks: Sequence[str] = (),
    labelled: bool = True,
    streams: Mapping[str, VideoSource] | None = None,
) -> TrainLoader:
    """Build the loader of training clips.

    The order of an epoch is drawn from (RNG_SEED, epoch), cut into mini-batches of TRAIN.BATCH_SIZE clips, and each
    process takes its share of every mini-batch: together they see what one process would. What remains at the end of
    the order and is no full mini-batch is left for other epochs; a data set smaller than a mini-batch is repeated to
    fill one. With each mini-batch come those of the other streams (:mod:`.streams`), made by the same workers.

    Args:
        cfg: completed configuration.
        source: the videos.
        rank, world_size: of this process.
        tracks: what the mini-batches have beside the clips: names in the TRACK registry; of another stream after its
            name, as ``target.flow``.
        labelled: the mini-batches have labels.
        streams: the videos of the other streams, by name; DATA.STREAMS says how many are in a mini-batch, and whether
            they have labels.

    Raises:
        ConfigError: a mini-batch cannot be shared evenly between the processes, or the videos have no such track.
        DataError: a video without a label where there should be labels.
    """
    sources = {FIRST: source, **(streams or {})}
    elsewhere = [track for track in tracks if not any(tracks_of([track], name) for name in sources)]
    if elsewhere:
        raise ConfigError(f"The track {elsewhere[0]!r} is asked for, and there are the streams {', '.join(sources)}.")
    made, orders = [], {}
    for name, videos in sources.items():
        key, size, with_labels = "TRAIN.BATCH_SIZE", cfg.TRAIN.BATCH_SIZE, labelled
        if name != FIRST:
            keys = cfg.DATA.STREAMS[name]
            key, size, with_labels = f"DATA.STREAMS.{name}.BATCH_SIZE", keys.BATCH_SIZE, keys.LABELLED
        if size % world_size:
            raise ConfigError(f"{key} = {size} cannot be shared evenly by {world_size} processes.")
        stream = _stream(cfg, name, videos, tracks, labelled=with_labels)
        made.append(stream)
        orders[name] = StreamOrder(len(videos.records), size, seed=stream.seed, rank=rank, world_size=world_size)
    steps, num_epochs = _Steps(orders), math.ceil(cfg.SOLVER.MAX_EPOCH)
    loader = _Loader(cfg, TrainDataset(made), steps, persistent=True, batched=True)
    return TrainLoader(loader, steps, num_epochs=num_epochs)


def _stream(cfg: CfgNode, name: str, source: VideoSource, tracks: Sequence[str], *, labelled: bool) -> TrainStream:
    labels = field_of(source.records, "label") if labelled else []
    if None in labels:
        unlabelled = source.records[labels.index(None)]
        way = "" if name == FIRST else f" DATA.STREAMS.{name}.LABELLED False does without in this stream."
        raise DataError(f"Training needs labels, and {unlabelled.name!r} has none.{way}")
    return TrainStream(
        name=name,
        source=_shown(cfg, source),
        sampling=sampling_rule(cfg),
        augmentation=TrainAugmentation.from_cfg(cfg),
        labelled=labelled,
        num_classes=cfg.MODEL.NUM_CLASSES,
        seed=stream_seed(cfg, name),
        modulation=_modulation(cfg),
        tracks=build_tracks(cfg, source, tracks_of(tracks, name)),
    )


def build_test_loader(
    cfg: CfgNode,
    source: VideoSource,
    *,
    rank: int,
    world_size: int,
    split: str = "test",
    tracks: Sequence[str] = (),
    done: Collection[int] = (),
) -> TestLoader:
    """Build the loader of all views of this process's videos: its chunks (:func:`.assign_chunks`), none twice, none
    added.

    Args:
        cfg: completed configuration.
        source: the videos.
        rank, world_size: of this process.
        split: for the list of bad videos.
        tracks: what the videos have beside the views: names in the TRACK registry.
        done: first records of chunks that are left out, the same in all processes.

    Raises:
        ConfigError: the videos have no such track.
    """
    sampling = sampling_rule(cfg)
    dataset = TestDataset(
        _shown(cfg, source),
        sampling=sampling,
        views=TestViews.from_cfg(cfg, center_up=sampling.center_up),
        num_classes=cfg.MODEL.NUM_CLASSES,
        split=split,
        seed=cfg.RNG_SEED,
        modulation=_modulation(cfg),
        tracks=build_tracks(cfg, source, tracks),
        in_pieces=cfg.DATA.TEMPORAL_SAMPLING == "windows",
    )
    left = [chunk for chunk in split_into_chunks(cfg, source.records) if chunk.start not in done]
    mine = assign_chunks(cfg, source.records, left, world_size)[rank]
    return TestLoader(cfg, dataset, mine)


def _shown(cfg: CfgNode, source: VideoSource) -> VideoSource:
    """The source that clips are read from: the videos, their optical flow, or both."""
    if cfg.DATA.MODALITY == "flow":
        return FlowClips(source, find_flow(cfg, source), fps=cfg.DATA.TARGET_FPS)
    if cfg.DATA.MODALITY == RGB_AND_FLOW:
        return RgbAndFlowClips(cfg, source)
    return source


def _modulation(cfg: CfgNode) -> Modulation | None:
    """The modulation of DATA.MODULATION, as an object: a worker process has empty registries."""
    if cfg.DATA.MODULATION == ORIGINAL:
        return None
    made = modulation(cfg.DATA.MODULATION)
    made.check_modality(cfg.DATA.MODALITY)
    return made


class _Keys(Sampler):
    """Keys that a loader asks its dataset for, in order, from ``start`` on."""

    start = 0


class _InOrder(_Keys):
    """Some keys, one after the other."""

    def __init__(self, keys: Sequence[Any]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys[self.start :])


class _Steps(_Keys):
    """Keys (stream, epoch, index) of this process's samples of each step, epoch after epoch. All travel with the key,
    so workers that live on from epoch to epoch need not be told.

    Args:
        orders: of the streams, by name; the first makes the epochs.

    Attributes:
        stop: the number of the step before which they end, counted from the first epoch, as ``start`` is.
    """

    def __init__(self, orders: Mapping[str, StreamOrder]) -> None:
        self.stop = 0
        self._orders = orders

    def __len__(self) -> int:
        return len(self._orders[FIRST])

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        for number in range(self.start, self.stop):
            yield [(name, *key) for name, order in self._orders.items() for key in order.batch(number)]


class _Loader:
    """A torch DataLoader that continues with new workers after one has crashed at a file.

    Args:
        keys: what is asked for.
        persistent: workers stay from one pass to the next.
        batched: a key is a list, of the samples of a mini-batch.
    """

    def __init__(self, cfg: CfgNode, dataset: SourceDataset, keys: _Keys, *, persistent: bool, batched: bool) -> None:
        self._dataset = dataset
        self._keys = keys
        self._num_workers: int = cfg.DATA_LOADER.NUM_WORKERS
        self._pin_memory = cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0 and torch.cuda.is_available()
        self._persistent = persistent
        self._batched = batched
        self._running: tuple[DataLoader, WorkerContext | None] | None = None

    def items(self, start: int = 0) -> Iterator[Any]:
        """Items of the dataset for each key, from the one numbered ``start`` on, in order."""
        while True:
            self._keys.start = start
            loader, context = self._running or self._start()
            self._running = (loader, context) if self._persistent else None
            try:
                for item in _iterate(loader):
                    start += 1
                    yield item
                return
            except DataError as error:
                if context is None:
                    raise
                raise _without_traceback(error) from error
            except RuntimeError as error:
                if context is None or "DataLoader worker" not in str(error):
                    raise
                self._note(context.deaths(), error)
            self._running = None
            del loader  # with the workers that are left

    def _start(self) -> tuple[DataLoader, WorkerContext | None]:
        options: dict[str, Any] = {"batch_sampler": self._keys, "collate_fn": collate}
        if not self._batched:
            options = {"sampler": self._keys, "batch_size": None, "collate_fn": _as_it_is}
        context = None
        if self._num_workers:
            context = worker_context(__name__, *self._dataset.modules, sent=self._dataset)
            options |= {
                "multiprocessing_context": context,
                "worker_init_fn": _start_worker,
                "persistent_workers": self._persistent,
                # A test item is all views of a video, easily 100 MB: one in work and one waiting for each worker.
                "prefetch_factor": 2 if self._batched else 1,
            }
        loader = DataLoader(
            self._dataset,
            num_workers=self._num_workers,
            pin_memory=self._pin_memory,
            # Its own generator: the loader draws a seed for its workers, which must not advance the one that the
            # training draws from.
            generator=torch.Generator(),
            **options,
        )
        return loader, context

    def _note(self, deaths: Sequence[Death], error: RuntimeError) -> None:
        """Record crashes, for the workers that come next; raise DataError where they would crash, too."""
        crashes = self._dataset.crashes.add(deaths)
        died = ", ".join(self._words(death) for death in crashes or deaths) or str(error)
        if crashes:
            logger.warning("A process that loads videos crashed: %s", died)
            return
        raise DataError(
            f"A process that loads videos died ({died}). The usual reason is too little memory or shared memory "
            f"(/dev/shm): lower DATA_LOADER.NUM_WORKERS (now {self._num_workers}), or set it to 0 to decode in the "
            "main process. If it said above why it could not start, that is the reason."
        ) from error

    def _words(self, death: Death) -> str:
        if death.record is None:
            return str(death)
        return f"{death}, at {self._dataset.record(death.record).name}"


def _iterate(loader: DataLoader) -> Iterator[Any]:
    with undisturbed():  # torch's iterator cannot be cleared away before all of its workers have been started
        items = iter(loader)
    yield from items


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism


def _without_traceback(error: DataError) -> DataError:
    """The error that a worker ended with, without what torch writes before its message."""
    return DataError(str(error).rpartition(f"\n{type(error).__module__}.{type(error).__qualname__}: ")[2].rstrip("\n"))


def _as_it_is(item: Any) -> Any:
    return item
