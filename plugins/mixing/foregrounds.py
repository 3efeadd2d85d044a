"""The foreground of each clip over another clip's background: ActorCutMix by masks, FAME by what moves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.engine import MiniBatch, Transform
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.registries import TRANSFORM
from pvbias.transfers import to_device

from .transforms import check_colours, check_pairs


class _Foreground(Transform):
    """``m_i x_i + (1 - m_i) b_(i-1)``: where its mask m is 1 each clip x as it is, elsewhere the background b of the
    clip before it in the mini-batch (of each process). Each clip's is swapped or not for itself.

    Raises:
        ConfigError: there is no other clip.
    """

    name: str
    group: str
    keeps_attributes = False

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_pairs(cfg)

    def _swapped(self, batch: MiniBatch, possible: Tensor) -> Tensor:
        """Which clips' backgrounds are swapped, bool ``(N,)``: of those of which it is possible."""
        prob = self.cfg[self.group].PROB
        drawn = torch.tensor([np.random.default_rng(seed).random() < prob for seed in batch.seeds])
        return to_device(drawn, possible.device) & possible

    @staticmethod
    def _composed(clips: Tensor, masks: Tensor, backgrounds: Tensor, swapped: Tensor) -> Tensor:
        pasted = torch.lerp(backgrounds.roll(1, 0), clips, masks)
        return torch.where(swapped.view(-1, 1, 1, 1, 1), pasted, clips)


@TRANSFORM.register(name="actor_cutmix")
class ActorCutMix(_Foreground):
    """ActorCutMix (Y. Zou et al., *Learning Representational Invariances for Data-Efficient Action Recognition*, CVIU
    227, 2023): the foreground of each clip over the background of the clip before it in the mini-batch (of each
    process), frame by frame::

        m_i x_i + (1 - m_i) b_(i-1),   label (1 - (1 - a)^4) y_i + (1 - a)^4 y_(i-1)

    with the mask m (1: not label 0 of the track "mask"), its share a of the clip, and the background b: the other clip
    where it shows none of its own foreground, and where it does, the mean of what is at that pixel in the frames that
    do not cover it; where all do, the mean of all of its background. (The paper leaves these pixels black.) Clips
    without a foreground, or with nothing else, stay, and none gets a background of a clip that is all foreground. With
    probability ``ACTOR_CUTMIX.PROB``; ``ACTOR_CUTMIX.LABEL`` keeps the labels as they are.

    Raises:
        ConfigError: there is no other clip.
    """

    name = "actor_cutmix"
    group = "ACTOR_CUTMIX"
    needs = Needs(tracks=("mask",))
    keeps_tracks = ("mask",)

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        masks = (batch.tracks["mask"] > 0).to(batch.clips.dtype)
        areas = masks.mean((1, 2, 3, 4))
        swapped = self._swapped(batch, (areas > 0) & (areas < 1) & (areas.roll(1) < 1))
        clips = self._composed(batch.clips, masks, background(batch.clips, masks), swapped)
        if self.cfg.ACTOR_CUTMIX.LABEL == "keep":
            return replace(batch, clips=clips)
        labels = batch.soft_labels(self.cfg.MODEL.NUM_CLASSES)
        own = torch.where(swapped, 1 - (1 - areas.float()) ** 4, 1.0)[:, None]
        return replace(batch, clips=clips, labels=own * labels + (1 - own) * labels.roll(1, 0))


def background(clips: Tensor, masks: Tensor) -> Tensor:
    """Clips ``(N, C, T, H, W)`` without their foreground, masks ``(N, 1, T, H, W)`` of 0 and 1; see
    :class:`ActorCutMix`."""
    seen = 1 - masks
    shown = (clips * seen).sum(2, keepdim=True)
    frames = seen.sum(2, keepdim=True)  # that show a pixel of the background
    everywhere = shown.sum((3, 4), keepdim=True) / frames.sum((3, 4), keepdim=True).clamp(min=1)
    still = torch.where(frames > 0, shown / frames.clamp(min=1), everywhere)
    return torch.lerp(clips, still.expand_as(clips), masks)


@TRANSFORM.register(name="fame")
class Fame(_Foreground):
    """FAME (S. Ding et al., *Motion-Aware Contrastive Video Representation Learning via Foreground-Background Merging*,
    CVPR 2022): what moves in each clip, over the clip before it in the mini-batch (of each process); the label stays.
    The mask is one for all frames of a clip (:func:`moving_foreground`), ``FAME.BETA`` of its pixels. Clips in which
    nothing moves stay. With probability ``FAME.PROB``. (The paper trains features of the two to agree, without labels;
    here the classification loss sees the changed clip.)

    Raises:
        ConfigError: there is no other clip, or the clips show optical flow.
    """

    name = "fame"
    group = "FAME"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_colours(cfg, self.name)

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        masks, moves = moving_foreground(batch.clips, self.cfg.FAME.BETA)
        return replace(batch, clips=self._composed(batch.clips, masks, batch.clips, self._swapped(batch, moves)))


#: Levels of each of the three axes of a colour, of the seeds of foreground and background: parts of a frame's pixels.
_LEVELS, _FOREGROUND_SEEDS, _BACKGROUND_SEEDS = 10, 0.5, 0.1


def moving_foreground(clips: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The part of a clip that moves, by differences of frames and by colour (Ding et al. 2022, sec. 3.2)::

        differences of successive frames, summed over colours, averaged over time, blurred
          -> seeds: the half of the pixels that changes most, the tenth that changes least
          -> of a pixel of the mean frame, p(its colour | foreground seeds) against p(its colour | background seeds)
          -> blurred -> the ``share`` of the pixels with the largest

    Colours are hue and saturation (in the plane) and value, at 10 levels each. (The released code takes a hue in
    radians for one in turns; here it is an angle.)

    Args:
        clips: RGB in [0, 1], ``(N, 3, T, H, W)``.
        share: of the pixels.

    Returns:
        Masks of 0 and 1, ``(N, 1, 1, H, W)``, of the clips' type, and of which clips anything moves, bool ``(N,)``.
    """
    count, _, _, height, width = clips.shape
    pixels = height * width
    change = clips.diff(dim=2).abs().sum(1).mean(1)
    moves = change.flatten(1).amax(1) > 0
    change = _blur(change).flatten(1)
    colours = _colour_bins(clips.mean(2)).flatten(1)
    moving = change.topk(int(_FOREGROUND_SEEDS * pixels)).indices
    still = change.topk(int(_BACKGROUND_SEEDS * pixels), largest=False).indices
    of_moving, of_still = _frequencies(colours, moving, prior=0), _frequencies(colours, still, prior=1)
    odds = of_moving / (of_moving + of_still)
    wanted = _blur(odds.view(count, height, width)).flatten(1).topk(int(share * pixels)).indices
    masks = torch.zeros_like(change).scatter_(1, wanted, 1.0)
    return masks.view(count, 1, 1, height, width), moves


def _blur(maps: Tensor) -> Tensor:
    """Maps ``(N, H, W)``, blurred over a tenth of their height."""
    from torchvision.transforms.v2.functional import gaussian_blur  # seconds, which a run that does without is spared

    size = int(0.1 * maps.shape[-2]) // 2 * 2 + 1
    blurred: Tensor = gaussian_blur(maps, kernel_size=[size, size], sigma=[size / 3, size / 3])
    return blurred


def _colour_bins(frames: Tensor) -> Tensor:
    """The bin of each pixel's colour, RGB in [0, 1] ``(N, 3, H, W)`` -> int64 ``(N, H, W)``."""
    red, green, blue = frames.unbind(1)
    value, least = frames.amax(1), frames.amin(1)
    spread = value - least
    step = torch.where(spread > 0, spread, 1.0)
    sixth = torch.where(
        value == red,
        (green - blue) / step,
        torch.where(value == green, 2 + (blue - red) / step, 4 + (red - green) / step),
    )
    saturation, angle = spread / torch.where(value > 0, value, 1.0), sixth * (math.pi / 3)
    axes = ((saturation * angle.cos() + 1) / 2, (saturation * angle.sin() + 1) / 2, value)
    first, second, third = (torch.round(axis * (_LEVELS - 1)).long() for axis in axes)
    return first + _LEVELS * (second + _LEVELS * third)


def _frequencies(bins: Tensor, chosen: Tensor, *, prior: int) -> Tensor:
    """How frequent the bin of each pixel ``(N, P)`` is among chosen pixels ``(N, K)``, each bin counted ``prior`` times
    more."""
    counts = torch.zeros(len(bins), _LEVELS**3, device=bins.device)
    counts.scatter_add_(1, bins.gather(1, chosen), torch.ones_like(chosen, dtype=counts.dtype))
    counts += prior
    return (counts / counts.sum(1, keepdim=True)).gather(1, bins)
