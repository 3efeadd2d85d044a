"""Occlusion over time: how much each part of a clip matters to the prediction."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from scipy import stats
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.samples import Sample, SampleEvaluator
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .curves import occlusions

#: Decimals of a drop of probability that are no rounding: ranks would see it.
_DIGITS = 6
#: Pixels.
_HEIGHT, _GAP, _BARS = 64, 2, 30
_RED, _BLUE, _LINE = (214, 55, 32), (0, 114, 178), (160, 168, 176)


@EVALUATOR.register(name="temporal_occlusion")
class TemporalOcclusion(Evaluator):
    """How far the probability of the predicted class falls when a part of the clip is hidden: each of 8 parts, or each
    frame where there are fewer, with the frame before it held in its place.

    What a part shows and its neighbours show, too, does not count. ``drop`` (points of probability) is of each view and
    its own first choice, averaged over views and then over videos. ``unequal`` (p-value) is Friedman's test, over
    videos, that hiding any part changes the probability as much, up or down; in a network that takes all moments alike
    it is below 0.05 in 5 % of cases.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.specs = tuple(each.spec for each in occlusions(cfg.DATA.NUM_FRAMES))
        self.needs = Needs(modulations=(ORIGINAL, *self.specs) if self.specs else ())

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the drop for each part."""
        self.rows[video.index] = tuple(drops(outputs, self.specs).mean(1).tolist())

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        if not self.specs:
            return Result(not_applicable="Clips of one frame have no parts.")
        rows = np.dtype((np.float64, len(self.specs)))
        columns = np.asarray(np.fromiter(self.rows.values(), rows, len(self.rows)), dtype=np.float64)
        templates = [Figure(name="drop", value=None, unit="points", level="clip", variant=spec) for spec in self.specs]
        sizes = np.abs(columns).round(_DIGITS)
        p, note = None, "undefined: the parts do not differ in any video, or there are too few"
        if len(columns) > 1 and len(self.specs) > 2 and np.ptp(sizes, axis=1).any():
            p, note = float(stats.friedmanchisquare(*sizes.T).pvalue), ""
        unequal = Figure(name="unequal", value=p, unit="p", level="clip", count=len(columns), note=note)
        return Result(figures=[*mean_figures(templates, 100 * columns, **self.bootstrap), unequal])


@EVALUATOR.register(name="occlusion_strips")
class OcclusionStrips(SampleEvaluator):
    """The parts of a few clips, and how far the predicted class falls when each is hidden (``temporal_occlusion``).

    Which videos: see :class:`pvbias.evaluation.samples.SampleEvaluator`. Shown is the middle view: the middle frame of
    each part, and below it a bar, red for a probability that falls, blue for one that rises.

    Tables: ``strips``, one row a video; ``drops`` in points of probability, part by part.
    """

    table = "strips"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.specs = tuple(each.spec for each in occlusions(cfg.DATA.NUM_FRAMES))
        self.needs = Needs(modulations=(ORIGINAL, *self.specs) if self.specs else ())

    def sample(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> Sample:
        """See :meth:`SampleEvaluator.sample`."""
        view = len(video.clips) // 2
        fallen = drops(outputs, self.specs)[:, view].numpy()
        probability, predicted = outputs[ORIGINAL].logits[view].softmax(0).max(0)
        strip = f"occlusion_{video.index:06d}.png"
        row = {
            "video": video.name,
            "label": "" if video.label is None else self.class_name(video.label),
            "predicted": self.class_name(int(predicted)),
            "probability": float(probability),
            "drops": ", ".join(f"{100 * drop:.1f}" for drop in fallen),
            "strip": strip,
        }
        return Sample(label=video.label, rows=[row], images={strip: draw_strip(video.clips[view], fallen)})


def drops(outputs: Mapping[str, Outputs], specs: Sequence[str]) -> Tensor:
    """How far the probability of each view's first choice falls on modulated clips: float64 ``(S, V)``."""
    original = outputs[ORIGINAL].logits.double().softmax(1)
    first = original.argmax(1, keepdim=True)
    changed = torch.stack([outputs[spec].logits.double().softmax(1).gather(1, first)[:, 0] for spec in specs])
    return original.gather(1, first)[:, 0] - changed


def draw_strip(clip: Tensor, fallen: np.ndarray) -> bytes:
    """Draw the middle frame of each part of a clip and a bar below it; a PNG file.

    Args:
        clip: uint8 ``(C, T, H, W)``; of channels behind RGB nothing is shown.
        fallen: of each part, ``(P,)``; the longest bar is of the largest, and of 0.05 at least.
    """
    parts = torch.arange(clip.shape[1]).tensor_split(len(fallen))
    frames = clip[:3, [int(part[len(part) // 2]) for part in parts]].permute(1, 2, 3, 0).numpy()  # (P, H, W, C)
    if frames.shape[-1] != 3:
        frames = np.repeat(frames[..., :1], 3, axis=-1)
    width = max(round(_HEIGHT * frames.shape[2] / frames.shape[1]), 1)
    reach = max(np.abs(fallen).max(), 0.05)
    columns = []
    for frame, value in zip(frames, fallen, strict=True):
        shown = np.asarray(Image.fromarray(frame).resize((width, _HEIGHT), Image.Resampling.LANCZOS))
        bar = np.full((_BARS, width, 3), 255, np.uint8)
        bar[_GAP] = _LINE
        bar[
            _GAP : _GAP + 1 + round(float(abs(value) / reach) * (_BARS - _GAP - 1)), width // 4 : -(width // 4) or None
        ] = _RED if value >= 0 else _BLUE
        columns.append(np.pad(np.concatenate([shown, bar]), ((0, 0), (0, _GAP), (0, 0)), constant_values=255))
    file = io.BytesIO()
    Image.fromarray(np.concatenate(columns, axis=1)).save(file, "PNG")
    return file.getvalue()
