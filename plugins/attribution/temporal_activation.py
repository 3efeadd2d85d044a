"""Temporal activation: the frames that activate the last convolution most, as pictures (temporality study, figure
7)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.evaluation import VideoViews
from pvbias.evaluation.samples import Sample, SampleEvaluator
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .grad_cam import FeatureMap, NoFeatureMapError, feature_before_last_stage, last_feature_map

_FRAMES_SHOWN = 8
#: Pixels.
_FOOTPRINT_HEIGHT, _FRAME_HEIGHT, _GAP, _BARS_HEIGHT = 96, 64, 2, 22
_RED, _GREY = (0.86, 0.12, 0.12), 0.62


@EVALUATOR.register(name="temporal_activation")
class TemporalActivation(SampleEvaluator):
    """The frames that activate the last layer most, and the places that speak for the predicted class.

    Shown are a few videos (:class:`pvbias.evaluation.samples.SampleEvaluator` says which) with their middle view. The
    layer is found by itself, convolution or tokens: see :func:`.grad_cam.last_feature_map`. A model without feature
    maps over space and time is not applicable.

    - ``footprint``: the largest grey over time, and in red what the frames of the highest activation show that the
      clip's median over time does not (figure 7). Activation over time is the mean over channels and positions of what
      is positive. Where the layer has fewer frames than the clip, each stands for as many of the clip's.
    - ``strip``: 8 frames in grey, each from the middle of its eighth of the clip, and over them the class activation
      (Grad-CAM) of the predicted class, from blue (little) to red (much); below, bars of the activation of every frame,
      the highest in red.

    Tables: ``activations``, one row for each video: ``peak_frames`` (counted from 0) and the names of the two pictures.
    """

    table = "activations"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        self.before_head = feature_before_last_stage(recognizer)
        self.needs = Needs(modulations=(ORIGINAL,), features=(self.before_head,) if self.before_head else ())

    def sample(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> Sample:
        """See :meth:`SampleEvaluator.sample`."""
        view = len(video.clips) // 2
        clip, predicted = video.clips[view], int(outputs[ORIGINAL].logits[view].argmax())
        try:
            known = outputs[ORIGINAL].features[self.before_head][0] if self.before_head else None
            feature_map = last_feature_map(self.recognizer, clip, predicted, last_stage_input=known)
        except NoFeatureMapError as error:
            return Sample(label=video.label, not_applicable=str(error))
        over_time, peaks = _by_frame(feature_map, clip.shape[1])
        footprint, strip = f"footprint_{video.index:06d}.png", f"strip_{video.index:06d}.jpg"
        row: dict[str, object] = {
            "video": video.name,
            "label": "" if video.label is None else self.class_name(video.label),
            "predicted": self.class_name(predicted),
            "variant": ORIGINAL,
            "peak_frames": ", ".join(map(str, np.flatnonzero(peaks))),
            "footprint": footprint,
            "strip": strip,
        }
        activation = feature_map.class_activation(clip.shape[1:]).numpy()
        images = {footprint: draw_footprint(clip, peaks), strip: draw_strip(clip, activation, over_time, peaks)}
        return Sample(label=video.label, rows=[row], images=images)


def _by_frame(feature_map: FeatureMap, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Activation of each frame ``(T,)`` as a share of the highest, and which frames have the highest, bool ``(T,)``."""
    over_time = feature_map.over_time().numpy()
    over_time = over_time / max(over_time.max(), np.finfo(np.float32).tiny)
    source = np.arange(num_frames) * len(over_time) // num_frames
    by_frame = over_time[source]
    return by_frame, by_frame >= by_frame.max() - 1e-6  # equal up to rounding: a clip that stands still has no peak


def draw_footprint(clip: Tensor, peaks: np.ndarray) -> bytes:
    """Draw the maximum of grey values over time, with what is particular to the frames ``peaks`` in red; a PNG file.

    Args:
        clip: uint8 ``(C, T, H, W)``; of channels behind RGB nothing is shown.
        peaks: bool ``(T,)``.
    """
    grey = clip[:3].float().mean(0) / 255  # (T, H, W)
    apart = (grey[torch.from_numpy(peaks)] - grey.median(0).values).abs().amax(0)[..., None]
    apart = apart / apart.max().clamp_min(1 / 255)
    picture = (1 - apart) * grey.amax(0)[..., None] * 0.8 + apart * torch.tensor(_RED)
    return _file(_resized(picture.numpy(), _FOOTPRINT_HEIGHT), "PNG")


def draw_strip(clip: Tensor, activation: np.ndarray, over_time: np.ndarray, peaks: np.ndarray) -> bytes:
    """Draw frames with the class activation over them, and bars of the activation over time below; a JPEG file.

    Args:
        clip: uint8 ``(C, T, H, W)``.
        activation: ``(T, H, W)`` in [0, 1].
        over_time: ``(T,)`` in [0, 1].
        peaks: bool ``(T,)``, frames whose bars are red.
    """
    num_frames = clip.shape[1]
    parts = min(_FRAMES_SHOWN, num_frames)
    shown = [(2 * part + 1) * num_frames // (2 * parts) for part in range(parts)]
    frames = clip[:3, shown].float().mean(0).numpy()[..., None] / 255  # (S, H, W, 1): colours mean activation
    heat = activation[shown]
    colours = matplotlib.colormaps["turbo"](heat)[..., :3]
    frames = frames + 0.65 * heat[..., None] * (colours - frames)
    pictures = [_resized(frame, _FRAME_HEIGHT) for frame in frames]
    gaps = ((0, _GAP), (0, _GAP), (0, 0))
    strip = np.concatenate([np.pad(picture, gaps, constant_values=255) for picture in pictures], axis=1)
    return _file(np.concatenate([strip, _bars(over_time, peaks, strip.shape[1])]), "JPEG")


def _bars(over_time: np.ndarray, peaks: np.ndarray, width: int) -> np.ndarray:
    """Draw a bar for each frame, side by side: uint8 ``(height, width, 3)``."""
    frame = np.arange(width) * len(over_time) // width
    heights = np.arange(_BARS_HEIGHT, 0, -1)[:, None] - 0.5  # of each line of pixels above the bottom
    filled = heights < np.maximum(over_time[frame] * _BARS_HEIGHT, 1)  # (height, width); a line where there is nothing
    colours = np.where(peaks[frame][:, None], _RED, _GREY)  # (width, 3)
    return _bytes(np.where(filled[..., None], colours, 1.0))


def _resized(picture: np.ndarray, height: int) -> np.ndarray:
    """``(h, w, 3)`` in [0, 1] -> uint8 ``(height, width, 3)``."""
    image = Image.fromarray(_bytes(picture))
    width = max(round(image.width * height / image.height), 1)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.rint(255 * picture.clip(0, 1)).astype(np.uint8)


def _file(picture: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, quality=88)
    return file.getvalue()
