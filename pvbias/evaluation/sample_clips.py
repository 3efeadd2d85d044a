"""Sample clips on the page, with the model's predictions for each modulation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor

from ..clips import ORIGINAL, Freeze, Reverse, Shuffle, modulation, view_seeds
from ..models.outputs import Outputs
from ..models.recognizer import Recognizer
from ..needs import Needs
from ..registries import EVALUATOR
from .compared import compared_modulations
from .evaluator import VideoViews
from .samples import Sample, SampleEvaluator

_FRAMES_SHOWN = 6
_HEIGHT = 80


@EVALUATOR.register(name="sample_clips")
class SampleClips(SampleEvaluator):
    """Strips of frames of a few videos, and the model's first choice on each variant.

    Which videos: see :class:`.samples.SampleEvaluator`. Shown is a video's middle view, and the prediction is that of
    this view.

    Tables: ``samples``, one row for each video and variant; ``content`` tells the video from others
        (:meth:`.VideoViews.content`); ``probability`` in [0, 1]; ``image`` is a name in the result's images: 6 frames
        of the clip, spread evenly, side by side, 80 pixels high, JPEG.
    """

    table = "samples"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        compared = compared_modulations(cfg, Shuffle(), Reverse(), Freeze(frame=cfg.BIAS.FREEZE_FRAME))
        self.needs = Needs(modulations=(ORIGINAL, *compared))
        self.needs |= Needs(tracks=self.tracks())  # it shows the modulated clips, too

    def sample(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> Sample:
        """See :meth:`SampleEvaluator.sample`."""
        view = len(video.clips) // 2
        seed = view_seeds(self.cfg.RNG_SEED, video.name, view + 1, first=view)[0]
        clip = video.clips[view : view + 1]
        tracks = {name: values[view : view + 1] for name, values in video.tracks.items()}
        content = video.content()
        cells, images = [], {}
        for variant in self.needs.modulations:
            image = f"sample_{video.index:06d}_{variant}.jpg"
            images[image] = clip_strip(modulation(variant).modulate(clip, [seed], tracks)[0])
            probability, predicted = outputs[variant].logits[view].softmax(0).max(0)
            cells.append(
                {
                    "video": video.name,
                    "content": content,
                    "label": "" if video.label is None else self.class_name(video.label),
                    "variant": variant,
                    "predicted": self.class_name(int(predicted)),
                    "probability": float(probability),
                    "image": image,
                }
            )
        return Sample(label=video.label, rows=cells, images=images)


def clip_strip(clip: Tensor) -> bytes:
    """A JPEG file of a few frames of a clip, uint8 ``(C, T, H, W)``: of what it shows first, RGB or flow."""
    clip = clip[:3]
    _, num_frames, height, width = clip.shape
    shown = torch.linspace(0, num_frames - 1, min(_FRAMES_SHOWN, num_frames)).round().long()
    frames = clip[:, shown].permute(2, 1, 3, 0)  # (H, S, W, C): side by side once S and W are one axis
    image = Image.fromarray(frames.reshape(height, len(shown) * width, -1).contiguous().numpy())
    image = image.resize((max(round(image.width * _HEIGHT / height), 1), _HEIGHT), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
