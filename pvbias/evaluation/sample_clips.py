"""A few clips to look at, with what the model says of each variant."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor

from ..clips import ORIGINAL, view_seeds
from ..models.recognizer import Recognizer
from ..registries import EVALUATOR, MODULATION
from .evaluator import Evaluator, VideoViews
from .results import Result

_NUM_VIDEOS = 8
_FRAMES_SHOWN = 6
_HEIGHT = 80


@dataclass(frozen=True)
class _Sample:
    label: int | None
    cells: list[dict[str, Any]]
    images: dict[str, bytes]


@EVALUATOR.register(name="sample_clips")
class SampleClips(Evaluator):
    """Strips of frames of a few videos, and the model's first choice on each variant.

    The videos are the first (by index) of each class, in index order, at most 8; where videos have no labels, simply
    the first ones. Shown is a video's middle view, and the prediction is that of this view.

    Tables: ``samples``, one row for each video and variant; ``probability`` in [0, 1]; ``image`` is a name in the
        result's images: 6 frames of the clip, spread evenly, side by side, 80 pixels high, JPEG.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.modulations = (ORIGINAL, "shuffle", "reverse", f"freeze_{cfg.BIAS.FREEZE_FRAME}")

    def process(self, video: VideoViews, logits: Mapping[str, Tensor]) -> None:
        """See :meth:`Evaluator.process`."""
        labels = {index: sample.label for index, sample in self.rows.items()} | {video.index: video.label}
        # Each process keeps its own first videos: the first ones of all processes are among them.
        chosen = first_of_each_class(labels)
        if video.index in chosen:
            self.rows[video.index] = self._sample(video, logits)
            self.rows = {index: self.rows[index] for index in chosen}

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        chosen = first_of_each_class({index: sample.label for index, sample in self.rows.items()})
        samples = [self.rows[index] for index in chosen]
        return Result(
            tables={"samples": [cells for sample in samples for cells in sample.cells]},
            images={name: image for sample in samples for name, image in sample.images.items()},
        )

    def _sample(self, video: VideoViews, logits: Mapping[str, Tensor]) -> _Sample:
        view = len(video.clips) // 2
        seed = view_seeds(self.cfg.RNG_SEED, video.name, len(video.clips))[view]
        cells, images = [], {}
        for variant in self.modulations:
            image = f"sample_{video.index:06d}_{variant}.jpg"
            images[image] = _strip(MODULATION.get(variant)(video.clips[view : view + 1], [seed])[0])
            probability, predicted = logits[variant][view].softmax(0).max(0)
            cells.append(
                {
                    "video": video.name,
                    "label": "" if video.label is None else self.class_name(video.label),
                    "variant": variant,
                    "predicted": self.class_name(int(predicted)),
                    "probability": float(probability),
                    "image": image,
                }
            )
        return _Sample(video.label, cells, images)


def first_of_each_class(labels: Mapping[int, int | None]) -> list[int]:
    """Which videos to show: the indices of the first of each class, ascending, at most 8; where videos have no labels,
    simply the first ones.

    A process that keeps to what this gives for the videos it has seen keeps all that it gives for those of all
    processes together.

    Args:
        labels: by video index.
    """
    seen: set[int] = set()
    chosen = []
    for index in sorted(labels):
        label = labels[index]
        if label is None or label not in seen:
            chosen.append(index)
        if label is not None:
            seen.add(label)
    return chosen[:_NUM_VIDEOS]


def _strip(clip: Tensor) -> bytes:
    """A JPEG file of a few frames of a clip, uint8 ``(C, T, H, W)``."""
    _, num_frames, height, width = clip.shape
    shown = torch.linspace(0, num_frames - 1, min(_FRAMES_SHOWN, num_frames)).round().long()
    frames = clip[:, shown].permute(2, 1, 3, 0)  # (H, S, W, C): side by side once S and W are one axis
    image = Image.fromarray(frames.reshape(height, len(shown) * width, -1).contiguous().numpy())
    image = image.resize((max(round(image.width * _HEIGHT / height), 1), _HEIGHT), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
