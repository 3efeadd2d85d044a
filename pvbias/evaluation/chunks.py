"""Evaluating chunks of videos: their views go to the device batch by batch, and what comes back to the evaluators."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from tqdm import tqdm

from ..clips import modulation
from ..data import BadVideo, BadViewsError, TestLoader, TestVideo, Views
from ..distributed import get_world_size, is_main_process
from ..errors import DataError, WeightsError
from ..models.outputs import Features, Outputs, each_tensor
from ..models.recognizer import Recognizer
from ..throughput import Throughput
from ..transfers import is_asynchronous
from .batches import Part, QueuedOutputs, forward, pack
from .evaluator import Evaluator, VideoViews
from .partial import ChunkResult

if TYPE_CHECKING:
    from ..runtime import Settings


logger = logging.getLogger(__name__)


@dataclass
class _Chunk:
    """A chunk at work.

    Attributes:
        indices: of its videos.
        result: so far.
        collected: outputs of the video whose views are not all through yet.
    """

    indices: range
    result: ChunkResult
    collected: list[dict[str, Outputs]] = field(default_factory=list)


#: A batch, or None: the chunk has no more.
_Queued = tuple[_Chunk, QueuedOutputs | None]


def measure_chunks(
    cfg: CfgNode,
    recognizer: Recognizer,
    loader: TestLoader,
    evaluators: Mapping[str, Evaluator],
    settings: Settings,
    bar: tqdm,
) -> Iterator[ChunkResult]:
    """Evaluate this process's videos, one chunk after another, and give the outcome of each.

    A GPU has the next batch queued, of whichever chunk, before the host looks at what came of this one.
    """
    wanted = _wanted(evaluators.values())
    throughput, before = Throughput(settings.device), time.perf_counter()
    features_of = cache(partial(_views_of_features, list(evaluators.values())))
    for chunk, outputs in _behind(_queue(cfg, recognizer, loader, wanted, settings, bar), settings.device):
        if outputs is None:
            chunk.result.rows = {
                name: {index: evaluator.rows[index] for index in chunk.indices if index in evaluator.rows}
                for name, evaluator in evaluators.items()
            }
            yield chunk.result
            continue
        try:
            _take(chunk, outputs, list(evaluators.values()), features_of)
        except BadViewsError as error:  # where an evaluator reads views of a long video again
            chunk.result.bad.append(error.video)
            for evaluator in evaluators.values():
                evaluator.rows.pop(error.video.index, None)
        views, now = sum(len(part.clips) for part in outputs.parts), time.perf_counter()
        throughput.add(views, seconds=now - before, busy=outputs.span.seconds())
        before = now
    if throughput.clips and is_main_process():
        of = "views" if get_world_size() == 1 else f"views in the first of {get_world_size()} processes"
        logger.info("Measured %d %s, on %d kinds of clips each: %s", throughput.clips, of, len(wanted), throughput)


def _queue(
    cfg: CfgNode,
    recognizer: Recognizer,
    loader: TestLoader,
    wanted: Mapping[str, Sequence[str]],
    settings: Settings,
    bar: tqdm,
) -> Iterator[_Queued]:
    """Queue batch after batch on the device: each with its chunk, and None once a chunk has no more."""
    videos = iter(loader)
    for indices in loader.chunks:
        chunk = _Chunk(indices, ChunkResult(first=indices.start))
        good = _good_videos(islice(videos, len(indices)), chunk.result.bad, bar)
        try:
            for parts in pack(good, cfg.TEST.BATCH_SIZE):
                yield chunk, forward(cfg, recognizer, parts, wanted, settings)
        except BadViewsError as error:  # of a long video, which is a chunk by itself
            chunk.result.bad.append(error.video)
        yield chunk, None


def _behind(queue: Iterable[_Queued], device: torch.device) -> Iterator[_Queued]:
    """The same in the same order: a batch that a GPU has still to do when the next one is queued."""
    if not is_asynchronous(device):
        yield from queue
        return
    held: deque[_Queued] = deque()
    for item in queue:
        held.append(item)
        while held[0][1] is None or sum(outputs is not None for _, outputs in held) > 1:
            yield held.popleft()
            if not held:
                break
    yield from held


def _take(
    chunk: _Chunk,
    queued: QueuedOutputs,
    evaluators: Sequence[Evaluator],
    features_of: Callable[[int], Mapping[str, Sequence[int]]],
) -> None:
    """Hand each evaluator its part of the outputs of a batch, video by video."""
    outputs = queued.get()
    position = 0
    for part in queued.parts:
        end = position + part.stop - part.start
        kept = features_of(len(part.video.clips))
        places = _places(kept, part)
        chunk.collected.append({name: _with_features(batch[position:end], places) for name, batch in outputs.items()})
        position = end
        if part.stop == len(part.video.clips):
            whole = {name: Outputs.cat([some[name] for some in chunk.collected]) for name in outputs}
            _hand_over(part.video, whole, evaluators, kept)
            chunk.collected = []
            chunk.result.good += 1


def _good_videos(videos: Iterable[TestVideo | BadVideo], bad: list[BadVideo], bar: tqdm) -> Iterator[TestVideo]:
    for video in videos:
        bar.update()
        if isinstance(video, BadVideo):
            bad.append(video)
        else:
            yield video


def _views_of_features(evaluators: Iterable[Evaluator], num_views: int) -> dict[str, list[int]]:
    """The views of which some evaluator gets a feature, ascending, by feature."""
    kept: dict[str, set[int]] = {}
    for evaluator in evaluators:
        for name in evaluator.needs.features:
            kept.setdefault(name, set()).update(evaluator.views_of_features(num_views))
    return {name: sorted(views) for name, views in kept.items()}


def _places(kept: Mapping[str, Sequence[int]], part: Part) -> dict[str, Sequence[int]]:
    """The places, in a part of a video's views, of those of which a feature is kept; by feature, where these are not
    all."""
    found: dict[str, Sequence[int]] = {}
    for name, views in kept.items():
        own = views[bisect_left(views, part.start) : bisect_left(views, part.stop)]
        if len(own) < part.stop - part.start:
            found[name] = [view - part.start for view in own]
    return found


def _with_features(outputs: Outputs, places: Mapping[str, Sequence[int]]) -> Outputs:
    """Outputs with some rows of their features: of each one that is named those at some places."""
    features = {
        name: each_tensor(lambda tensor, name=name: tensor[places[name]], value) if name in places else value  # type: ignore[misc]
        for name, value in outputs.features.items()
    }
    return Outputs(outputs.heads, Features(features))


def _wanted(evaluators: Iterable[Evaluator]) -> dict[str, tuple[str, ...]]:
    """All modulations that evaluators need, by name, and the features that any of them needs of each."""
    wanted: dict[str, tuple[str, ...]] = {}
    for evaluator in evaluators:
        for name in (each.spec for each in evaluator.modulations().values()):
            wanted[name] = tuple(dict.fromkeys((*wanted.get(name, ()), *evaluator.needs.features)))
    return dict(sorted(wanted.items()))


def _hand_over(
    video: TestVideo,
    outputs: Mapping[str, Outputs],
    evaluators: Sequence[Evaluator],
    kept: Mapping[str, Sequence[int]],
) -> None:
    record = video.record
    for name, output in outputs.items():
        broken = [head for head, logits in output.heads.items() if not logits.isfinite().all()]
        if broken:
            of = f" of the head {broken[0]!r}" if broken[0] else ""
            raise WeightsError(
                f"The model's logits{of} for video {record.name!r} ({name} clips) are not finite: figures over them "
                "would mean nothing. Check the weights (a training that diverged?), and PRECISION if it is fp16."
            )
        if record.label is not None and not 0 <= record.label < output.logits.shape[1]:
            raise DataError(
                f"Video {record.name!r} has the label {record.label}, but the model's classes are 0 to "
                f"{output.logits.shape[1] - 1}. Check the annotation, or MODEL.NUM_CLASSES."
            )
    views = VideoViews(index=video.index, name=record.name, label=record.label, clips=video.clips, record=record)
    tracks = {
        name: values.map(_floats) if isinstance(values, Views) else _floats(values)
        for name, values in video.tracks.items()
    }
    for evaluator in evaluators:
        needs = evaluator.needs
        taken = [*needs.modulations, *(name for name in evaluator.kept if name in outputs)]
        own = evaluator.views_of_features(len(video.clips))
        places = {
            name: [place for place, view in enumerate(kept[name]) if view in own]
            for name in needs.features
            if len(kept[name]) > len(own)
        }
        # Its own features and tracks only: what others asked for must not make it work by chance.
        views = replace(views, tracks={name: tracks[name] for name in needs.tracks})
        given = {spec: outputs[modulation(spec).spec].only(needs.features) for spec in taken}
        evaluator.process(views, {spec: _with_features(output, places) for spec, output in given.items()})


def _floats(values: Tensor) -> Tensor:
    return values.float() if values.is_floating_point() else values
