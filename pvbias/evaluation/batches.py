"""Batches of test views, and the model's outputs on them for each modulation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from ..clips import Modulation, Rearrangement, gather_frames, modulation, view_seeds
from ..data import TestVideo, Views
from ..machine import keep_freed_memory
from ..models.outputs import EMBEDDING, Outputs
from ..models.recognizer import Recognizer
from ..transfers import Span, to_device_joined, to_host

if TYPE_CHECKING:
    from ..runtime import Settings


class Part(NamedTuple):
    """Some views of a video.

    Attributes:
        clips: of these views.
        start, stop: they are views ``start .. stop - 1``.
    """

    video: TestVideo
    clips: Tensor
    start: int
    stop: int


class QueuedOutputs(NamedTuple):
    """Outputs of a batch, on their way to the host.

    Attributes:
        parts: the batch.
        outputs: by modulation, in the host's memory; filled in when the device is through.
        span: of the device's work on the batch.
    """

    parts: Sequence[Part]
    outputs: dict[str, Outputs]
    span: Span

    def get(self) -> dict[str, Outputs]:
        """The outputs by modulation; waits for them."""
        self.span.wait()
        return self.outputs


def pack(videos: Iterable[TestVideo], batch_size: int) -> Iterator[list[Part]]:
    """Views of consecutive videos in batches of ``batch_size``; the last one may be smaller."""
    parts: list[Part] = []
    room = batch_size
    for video in videos:
        start = 0
        for piece in video.pieces():
            for clips in _cut(piece, room, batch_size):
                parts.append(Part(video, clips, start, start + len(clips)))
                start += len(clips)
                room -= len(clips)
                if room == 0:
                    yield parts
                    parts, room = [], batch_size
    if parts:
        yield parts


def _cut(clips: Tensor, first: int, size: int) -> Iterator[Tensor]:
    """The first so many views, then ``size`` at a time."""
    yield clips[:first]
    yield from clips[first:].split(size) if len(clips) > first else ()


@torch.inference_mode()
def forward(
    cfg: CfgNode,
    recognizer: Recognizer,
    parts: Sequence[Part],
    wanted: Mapping[str, Sequence[str]],
    settings: Settings,
) -> QueuedOutputs:
    """Outputs of the model for each modulation of a batch of views, float32 on the CPU, with the features wanted."""
    span = Span(settings.device)
    views = to_device_joined([part.clips for part in parts], settings.device)
    seeds = [
        seed for part in parts for seed in view_seeds(cfg.RNG_SEED, part.video.record.name, part.stop, first=part.start)
    ]
    modulations = {name: modulation(name) for name in wanted}
    tracks = _tracks_of(parts, modulations.values(), settings)
    shared = _sharing_frame_stages(recognizer, modulations, wanted)
    outputs = {}
    # A long video comes in batches of many sizes, and is never all in memory.
    keep_freed_memory(not isinstance(parts[-1].video.clips, Views))
    for name in [name for name in wanted if name not in shared]:
        # Modulated while still one byte a value: four times less to move than after the conversion.
        clips = settings.clips(modulations[name].modulate(views, seeds, tracks))
        with settings.autocast():
            outputs[name] = recognizer.outputs(clips, wanted[name])
    if shared:
        # The stages that see one frame at a time run once for all modulations that show the same frames.
        with settings.autocast():
            features = recognizer.frame_features(settings.clips(views))
            for name, rearrangement in shared.items():
                frames = gather_frames(features, rearrangement.frames(views.shape[2], seeds))
                outputs[name] = recognizer.outputs_of_features(frames, wanted[name])
    on_the_way = {name: output.map(lambda value: to_host(value.float())) for name, output in outputs.items()}
    span.end()
    return QueuedOutputs(parts, on_the_way, span)


def _tracks_of(parts: Sequence[Part], modulations: Iterable[Modulation], settings: Settings) -> dict[str, Tensor]:
    """Read the tracks that modulations take beside the views, by name, ``(N, D, T, H, W)`` on the device; those of a
    long video from the file again."""
    needed = dict.fromkeys(name for each in modulations for name in each.tracks)
    if not needed:
        return {}
    values = {name: [part.video.tracks[name][part.start : part.stop] for part in parts] for name in needed}
    return settings.tracks({name: to_device_joined(each, settings.device) for name, each in values.items()})


def _sharing_frame_stages(
    recognizer: Recognizer, modulations: Mapping[str, Modulation], wanted: Mapping[str, Sequence[str]]
) -> dict[str, Rearrangement]:
    """Modulations for which the stages that see one frame at a time run once; none where that saves nothing."""
    if not recognizer.num_frame_stages:
        return {}
    embedded = [EMBEDDING] if recognizer.extra_heads else []
    shared = {
        name: each
        for name, each in modulations.items()
        if isinstance(each, Rearrangement) and all(map(recognizer.comes_after_frame_stages, [*wanted[name], *embedded]))
    }
    return shared if len(shared) > 1 else {}
