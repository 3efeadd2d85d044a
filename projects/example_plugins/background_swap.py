"""Training clips with their backgrounds swapped, by masks of the foreground (ActorCutMix).

Y. Zou et al., *Learning Representational Invariances for Data-Efficient Action Recognition*, CVIU 227 (2023),
https://arxiv.org/abs/2103.16565.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.config.keys import between, declare, one_of
from pvbias.engine import MiniBatch, Transform
from pvbias.needs import Needs
from pvbias.registries import TRANSFORM


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(cfg, "BACKGROUND_SWAP.PROB", 0.5, "That a clip's is swapped.", between(0, 1), unit="probability")
    declare(
        cfg,
        "BACKGROUND_SWAP.LABEL",
        "keep",
        "What becomes of a clip's label: keep, or area: with the other clip's, by the foreground's area as the paper "
        "has it, 1 - (1 - area)^4.",
        one_of("keep", "area"),
    )


@TRANSFORM.register(name="background_swap")
class BackgroundSwap(Transform):
    """The foreground of each clip over the background of the clip before it in the mini-batch (of each process), frame
    by frame::

        m_i x_i + (1 - m_i) b_(i-1)

    with the mask m (1: not label 0 of the track "mask") and the background b: the other clip where it shows none of its
    own foreground, and where it does, the mean of what is at that pixel in the frames that do not cover it; where all
    do, the mean of all of its background. (The paper leaves these pixels black.) Clips without a foreground, or with
    nothing else, stay, and none gets a background of a clip that is all foreground. With probability ``PROB``, each
    clip for itself.
    """

    needs = Needs(tracks=("mask",))
    keeps_tracks = ("mask",)
    keeps_attributes = False

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        masks = (batch.tracks["mask"] > 0).to(batch.clips.dtype)
        areas = masks.mean((1, 2, 3, 4))
        swapped = torch.tensor(
            [np.random.default_rng(seed).random() < self.cfg.BACKGROUND_SWAP.PROB for seed in batch.seeds]
        )
        swapped = swapped.to(areas.device) & (areas > 0) & (areas < 1) & (areas.roll(1) < 1)
        pasted = torch.lerp(background(batch.clips, masks).roll(1, 0), batch.clips, masks)
        clips = torch.where(swapped.view(-1, 1, 1, 1, 1), pasted, batch.clips)
        if self.cfg.BACKGROUND_SWAP.LABEL == "keep":
            return replace(batch, clips=clips)
        labels = batch.soft_labels(self.cfg.MODEL.NUM_CLASSES)
        own = torch.where(swapped, 1 - (1 - areas.float()) ** 4, 1.0)[:, None]
        return replace(batch, clips=clips, labels=own * labels + (1 - own) * labels.roll(1, 0))


def background(clips: Tensor, masks: Tensor) -> Tensor:
    """Clips ``(N, C, T, H, W)`` without their foreground, masks ``(N, 1, T, H, W)`` of 0 and 1; see
    :class:`BackgroundSwap`."""
    seen = 1 - masks
    shown = (clips * seen).sum(2, keepdim=True)
    frames = seen.sum(2, keepdim=True)  # that show a pixel of the background
    everywhere = shown.sum((3, 4), keepdim=True) / frames.sum((3, 4), keepdim=True).clamp(min=1)
    still = torch.where(frames > 0, shown / frames.clamp(min=1), everywhere)
    return torch.lerp(clips, still.expand_as(clips), masks)
