"""Still frames added to clips: StillMix with a bank or within the mini-batch, and Background Erasing."""

from __future__ import annotations

import abc
from dataclasses import replace

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from pvbias.context import Context
from pvbias.engine import MiniBatch, Transform
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.registries import TRANSFORM
from pvbias.transfers import to_device

from .frame_bank import frame_bank
from .transforms import check_colours, check_pairs


class _StillFrame(Transform):
    """``lambda x + (1 - lambda) z`` with one frame z in all frames of the clip x; the label stays x's. Each clip is
    mixed or not for itself. Nothing moves: tracks still belong to the clips.

    Raises:
        ConfigError: the clips show optical flow.
    """

    name: str
    keeps_tracks = None

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_colours(cfg, self.name)

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        drawn = [self._draw(np.random.default_rng(seed), number, batch) for number, seed in enumerate(batch.seeds)]
        weights, *places = (np.array(values) for values in zip(*drawn, strict=True))
        if not weights.any():
            return batch
        weight = to_device(torch.from_numpy(weights).float(), batch.clips.device).view(-1, 1, 1, 1, 1)
        frames = self._frames(batch.clips, *(torch.from_numpy(place) for place in places))
        return replace(batch, clips=torch.lerp(batch.clips, frames[:, :, None], weight))

    @abc.abstractmethod
    def _draw(self, rng: np.random.Generator, number: int, batch: MiniBatch) -> tuple[float, ...]:
        """Of a clip: the frame's weight ``1 - lambda`` (0: it is not mixed), and where its frame is."""

    @abc.abstractmethod
    def _frames(self, clips: Tensor, *places: Tensor) -> Tensor:
        """The frames in these places, one a clip, ``(N, C, H, W)`` in [0, 1]."""


class _StillMix(_StillFrame):
    """StillMix's weights: lambda from Beta(``STILL_MIX.ALPHA``, ``ALPHA``), with probability ``STILL_MIX.PROB``."""

    keeps_attributes = False

    def _weight(self, rng: np.random.Generator) -> float:
        keys = self.cfg.STILL_MIX
        mixed, share = rng.random() < keys.PROB, rng.beta(keys.ALPHA, keys.ALPHA)
        return 1 - share if mixed else 0.0


@TRANSFORM.register(name="still_mix")
class StillMix(_StillMix):
    """StillMix (Li et al., *Mitigating and Evaluating Static Bias of Action Representations in the Background and the
    Foreground*, ICCV 2023)::

        lambda x + (1 - lambda) z,   lambda from Beta(ALPHA, ALPHA),   label of x

    with a still frame z of the bank in all frames of the clip x, with probability ``STILL_MIX.PROB``.

    The bank: frames of the training videos whose label a 2D network (``STUDENT``, trained on them by
    ``STUDENT.SOLVER``) predicts and is sure of (``STILL_MIX.QUANTILE``): frames that give the label away. Candidates
    are the middle frames of the views that test videos are seen in. The released code draws one lambda for a mini-batch
    (here: one for each clip, so that a clip is mixed alike in any mini-batch), and takes the surer half of all frames,
    also of those that the network is wrong about.

    Raises:
        ConfigError: the clips show optical flow.
        DataError: the reference network is right about no frame.
    """

    name = "still_mix"
    needs = Needs(splits=("train",))
    bank: Tensor

    def prepare(self, context: Context) -> None:
        """Train the reference network and collect the frames, or find them."""
        self.bank = frame_bank(context, self.recognizer)

    def _draw(self, rng: np.random.Generator, number: int, batch: MiniBatch) -> tuple[float, int]:
        return self._weight(rng), int(rng.integers(len(self.bank)))

    def _frames(self, clips: Tensor, *places: Tensor) -> Tensor:
        frames = to_device(self.bank[places[0]], clips.device).float() / 255
        # Of the test crop, whose size may be another one.
        return F.interpolate(frames, clips.shape[-2:], mode="bilinear", antialias=True)


@TRANSFORM.register(name="still_mix_batch")
class StillMixBatch(_StillMix):
    """StillMix within the mini-batch (of each process): z is a random frame of a random other clip of it. No network
    chooses the frames, and nothing is trained before.

    Raises:
        ConfigError: there is no other clip, or the clips show optical flow.
    """

    name = "still_mix_batch"

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        check_pairs(cfg)

    def _draw(self, rng: np.random.Generator, number: int, batch: MiniBatch) -> tuple[float, int, int]:
        count, frames = len(batch.clips), batch.clips.shape[2]
        other = (number + 1 + int(rng.integers(max(count - 1, 1)))) % count
        return self._weight(rng), other, int(rng.integers(frames))

    def _frames(self, clips: Tensor, *places: Tensor) -> Tensor:
        others, frames = (to_device(place, clips.device) for place in places)
        return clips[others, :, frames]


@TRANSFORM.register(name="background_erasing")
class BackgroundErasing(_StillFrame):
    """Background Erasing (J. Wang et al., *Removing the Background by Adding the Background*, CVPR 2021)::

        (1 - gamma) x_t + gamma x_k,   gamma uniform in [0, BACKGROUND_ERASING.GAMMA)

    with a random frame k of the same clip, with probability ``BACKGROUND_ERASING.PROB``. (The paper trains the features
    of the two to agree, without labels; here the classification loss sees the changed clip.)

    Raises:
        ConfigError: the clips show optical flow.
    """

    name = "background_erasing"

    def _draw(self, rng: np.random.Generator, number: int, batch: MiniBatch) -> tuple[float, int, int]:
        keys = self.cfg.BACKGROUND_ERASING
        mixed, weight = rng.random() < keys.PROB, rng.uniform(0, keys.GAMMA)
        return weight if mixed else 0.0, number, int(rng.integers(batch.clips.shape[2]))

    def _frames(self, clips: Tensor, *places: Tensor) -> Tensor:
        own, frames = (to_device(place, clips.device) for place in places)
        return clips[own, :, frames]
