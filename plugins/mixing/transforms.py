"""Colour jitter and RandAugment of training clips, by torchvision's transforms; MixUp, CutMix and VideoMix."""

from __future__ import annotations

import abc
import math
from dataclasses import replace

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.distributed import get_world_size
from pvbias.engine import MiniBatch, Transform
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.registries import TRANSFORM


def check_colours(cfg: CfgNode, name: str) -> None:
    """Refuse clips that show something else than RGB alone.

    Raises:
        ConfigError: they do; ``name`` is the transform.
    """
    if cfg.DATA.MODALITY not in (None, "rgb"):
        raise ConfigError(f"TRAIN.TRANSFORMS: {name} is for colours, and DATA.MODALITY = {cfg.DATA.MODALITY!r}.")


def check_pairs(cfg: CfgNode) -> None:
    """Refuse mini-batches in which a clip has no other one beside it.

    Raises:
        ConfigError: a process has one clip.
    """
    if 2 * get_world_size() > cfg.TRAIN.BATCH_SIZE:
        raise ConfigError(
            f"TRAIN.TRANSFORMS mixes the clips of a mini-batch, and with TRAIN.BATCH_SIZE = {cfg.TRAIN.BATCH_SIZE} "
            f"each of {get_world_size()} processes has one: there is no other to mix it with. Take at least "
            f"{2 * get_world_size()}."
        )


class _EachClip(Transform):
    """Each clip by itself, all of its frames alike; what is done to it depends on its seed alone."""

    name: str

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        if cfg.DATA.MODALITY == "flow":
            raise ConfigError(f"TRAIN.TRANSFORMS: {self.name} is for colours, and DATA.MODALITY is 'flow'.")

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        clips = []
        for clip, seed in zip(batch.clips, batch.seeds, strict=True):
            torch.manual_seed(seed)
            clips.append(self._changed(clip.transpose(0, 1).contiguous()).clamp(0, 1).transpose(0, 1))
        memory_format = torch.contiguous_format if batch.clips.is_contiguous() else torch.channels_last_3d
        return replace(batch, clips=torch.stack(clips).contiguous(memory_format=memory_format))

    @abc.abstractmethod
    def _changed(self, frames: Tensor) -> Tensor:
        """Frames ``(T, C, H, W)`` in [0, 1], changed."""


@TRANSFORM.register(name="color_jitter")
class ColorJitter(_EachClip):
    """Random brightness, contrast, saturation and hue, the same for all frames of a clip: factors from [1 - s, 1 + s]
    (hue: turns from [-s, s]) with ``COLOR_JITTER.BRIGHTNESS`` and so on as s, in random order.

    Of clips that show optical flow behind RGB, RGB alone is changed.

    Raises:
        ConfigError: the clips are optical flow alone.
    """

    name = "color_jitter"
    keeps_tracks = None

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        from torchvision.transforms import v2  # seconds, which a run that does without is spared

        strengths = cfg.COLOR_JITTER
        self._jitter = v2.ColorJitter(
            brightness=strengths.BRIGHTNESS,
            contrast=strengths.CONTRAST,
            saturation=strengths.SATURATION,
            hue=strengths.HUE,
        )

    def _changed(self, frames: Tensor) -> Tensor:
        return torch.cat([self._jitter(frames[:, :3]), frames[:, 3:]], dim=1)


@TRANSFORM.register(name="rand_augment")
class RandAugment(_EachClip):
    """RandAugment (Cubuk et al.): ``RAND_AUGMENT.NUM_OPS`` random changes of colour or geometry, of magnitude
    ``RAND_AUGMENT.MAGNITUDE``, the same for all frames of a clip.

    Raises:
        ConfigError: the clips show optical flow.
    """

    name = "rand_augment"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_colours(cfg, self.name)
        from torchvision.transforms import v2  # seconds, which a run that does without is spared

        self._augment = v2.RandAugment(num_ops=cfg.RAND_AUGMENT.NUM_OPS, magnitude=cfg.RAND_AUGMENT.MAGNITUDE)

    def _changed(self, frames: Tensor) -> Tensor:
        changed: Tensor = self._augment(frames)
        return changed


class _Mix(Transform):
    """Each clip with another one of the mini-batch, and their labels likewise, with probability ``MIXUP.PROB``.

    Raises:
        ConfigError: there is no other one.
    """

    keeps_attributes = False

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_pairs(cfg)

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        labels = batch.soft_labels(self.cfg.MODEL.NUM_CLASSES)
        if torch.rand(()) >= self.cfg.MIXUP.PROB:
            return replace(batch, labels=labels)
        own_share, clips = self._mixed(batch.clips)
        return replace(batch, clips=clips, labels=own_share * labels + (1 - own_share) * labels.roll(1, 0))

    @abc.abstractmethod
    def _mixed(self, clips: Tensor) -> tuple[float, Tensor]:
        """Mix each clip with the one before it: the fraction of each that is left, and the mixed clips."""


@TRANSFORM.register(name="mixup")
class MixUp(_Mix):
    """MixUp (Zhang et al.): ``lambda x_i + (1 - lambda) x_(i-1)``, labels alike, lambda from Beta(alpha, alpha) with
    ``MIXUP.ALPHA``, drawn once for a mini-batch (of each process)."""

    def _mixed(self, clips: Tensor) -> tuple[float, Tensor]:
        alpha = torch.full((), self.cfg.MIXUP.ALPHA)
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        return share, share * clips + (1 - share) * clips.roll(1, 0)


class _Cut(_Mix):
    """A box of each clip is that of the clip before it in the mini-batch, labels by volume. Along each axis that it
    does not fill it is ``(1 - lambda) ** (1 / axes)`` of the clip's length (an even number of pixels or frames), around
    a random place, and is cut off at the border; lambda from Beta(alpha, alpha) with ``MIXUP.CUTMIX_ALPHA``."""

    axes: tuple[int, ...]

    def _mixed(self, clips: Tensor) -> tuple[float, Tensor]:
        alpha = torch.full((), self.cfg.MIXUP.CUTMIX_ALPHA)
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        lengths = [clips.shape[axis] for axis in self.axes]
        middles = [int(torch.randint(length, ())) for length in lengths]
        box = [slice(None)] * clips.dim()
        inside = 1
        for axis, length, middle in zip(self.axes, lengths, middles, strict=True):
            half = int(0.5 * (1 - share) ** (1 / len(self.axes)) * length)
            first, end = max(middle - half, 0), min(middle + half, length)
            box[axis] = slice(first, end)
            inside *= end - first
        mixed = clips.clone()
        mixed[tuple(box)] = clips.roll(1, 0)[tuple(box)]
        return 1 - inside / math.prod(lengths), mixed


@TRANSFORM.register(name="cutmix")
class CutMix(_Cut):
    """CutMix (Yun et al., ICCV 2019; on video VideoMix's spatial variant): a rectangle of each clip, the same in all
    frames, is that of the clip before it in the mini-batch, labels by area; the area that stays from
    Beta(alpha, alpha) with ``MIXUP.CUTMIX_ALPHA``, before the rectangle is cut off at the border."""

    axes = (-2, -1)


@TRANSFORM.register(name="videomix_temporal")
class TemporalVideoMix(_Cut):
    """VideoMix's temporal variant (Yun et al., *VideoMix: Rethinking Data Augmentation for Video Classification*,
    2020): some successive frames of each clip are those of the clip before it in the mini-batch, labels by their
    number; drawn as CutMix's rectangle."""

    axes = (-3,)


@TRANSFORM.register(name="videomix_spatiotemporal")
class SpatiotemporalVideoMix(_Cut):
    """VideoMix's spatiotemporal variant: a box in space and time; see :class:`TemporalVideoMix`."""

    axes = (-3, -2, -1)
