"""Stylings made on the spot: a clip whose motion and shapes stay, in other colours, textures and contrasts.

They stand in for a style transfer network: nothing is downloaded, and all frames of a clip are changed alike, so that
no flicker is added to the motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pvbias.clips import Modulation, parameter
from pvbias.errors import ConfigError
from pvbias.registries import MODULATION
from pvbias.transfers import to_device

_STYLES = {
    "photometric": "in other colours",
    "texture": "in other textures",
    "statistics": "with other image statistics",
}

#: Sides of the random kernels, pixels, in units of the frame's shorter side.
_KERNEL = 1 / 32
#: Levels of the pyramid whose contrasts are matched.
_LEVELS = 4


@MODULATION.register(name="stylize")
@dataclass(frozen=True)
class Stylize(Modulation):
    """Each clip in a style of its own, the same in all of its frames, drawn by the clip's seed and ``draw``.

    - ``photometric``: colours are mixed by a random 3 x 3 matrix, inverted or not each, and go through a curve x^g, g
      from 1/2 to 2.
    - ``texture``: a random convolution, 7 x 7 pixels or 1/32 of the frame, from three channels to three (Xu et al.,
      "Robust and Generalizable Visual Representation Learning via Random Convolutions", ICLR 2021): shapes and motion
      stay, local texture and colour do not.
    - ``statistics``: the clip's mean and covariance of colours become drawn ones (whitened and coloured, as AdaIN and
      WCT do with the features of a network, here with the pixels), after the contrast of each of four octaves of
      spatial frequency was multiplied by a drawn factor from 1/3 to 3.
    """

    of_rgb = True

    style: str = parameter("texture", "which kind", choices=tuple(_STYLES))
    draw: int = parameter(0, "number of the styling; others are other styles of the same clip", at_least=0)

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return _STYLES[self.style] + (f" (draw {self.draw})" if self.draw else "")

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`.Modulation.__call__`.

        Raises:
            ConfigError: the clips do not have three channels.
        """
        if clips.shape[1] != 3:
            raise ConfigError(f"{self.spec} is for RGB clips, and these have {clips.shape[1]} channels.")
        style = {"photometric": _photometric, "texture": _textured, "statistics": _matched}[self.style]
        made = torch.stack(
            [style(_floats(clip), self._generator(seed)) for clip, seed in zip(clips, seeds, strict=True)]
        )
        made = made if clips.is_floating_point() else (made * 255).round()
        form = torch.contiguous_format if clips.is_contiguous() else torch.channels_last_3d
        return made.to(clips.dtype).contiguous(memory_format=form)

    def _generator(self, seed: int) -> torch.Generator:
        # 2^61 - 1 is prime: draws of one clip, and the same draw of two clips, have different seeds.
        return torch.Generator().manual_seed((seed + 1_000_003 * (self.draw + 1)) % (2**61 - 1))


def _floats(clip: Tensor) -> Tensor:
    return clip if clip.is_floating_point() else clip.float() / 255


def _photometric(clip: Tensor, generator: torch.Generator) -> Tensor:
    """A clip ``(3, T, H, W)`` in [0, 1] in other colours."""
    mixing = torch.rand(3, 3, generator=generator)
    mixing = mixing / mixing.sum(1, keepdim=True)
    inverted = torch.rand(3, generator=generator) < 0.5
    curves = 2 ** (2 * torch.rand(3, generator=generator) - 1)
    sign, offset = 1 - 2 * inverted.float(), inverted.float()
    # 1 - sum_i m_i x_i where inverted.
    mixed = torch.einsum("dc,cthw->dthw", to_device(mixing * sign[:, None], clip.device), clip)
    mixed = mixed + to_device(offset, clip.device)[:, None, None, None]
    return mixed.clamp(0, 1) ** to_device(curves, clip.device)[:, None, None, None]


def _textured(clip: Tensor, generator: torch.Generator) -> Tensor:
    """A clip through a random convolution, with its former range of brightness."""
    side = max(7, int(min(clip.shape[2:]) * _KERNEL) | 1)
    side = min(side, (min(clip.shape[2:]) - 1) | 1)
    kernel = to_device(torch.randn(3, 3, side, side, generator=generator), clip.device) / (side * 3**0.5)
    frames = clip.transpose(0, 1) - 0.5  # (T, 3, H, W)
    padded = F.pad(frames, (side // 2,) * 4, mode="replicate")
    made = F.conv2d(padded, kernel).transpose(0, 1)
    mean, deviation = made.mean((1, 2, 3), keepdim=True), made.std((1, 2, 3), correction=0, keepdim=True)
    return (0.5 + 0.22 * (made - mean) / (deviation + 1e-6)).clamp(0, 1)


def _matched(clip: Tensor, generator: torch.Generator) -> Tensor:
    """A clip with other contrasts in each octave of frequency, and another mean and covariance of colours."""
    gains = 3 ** (2 * torch.rand(_LEVELS, generator=generator) - 1)
    mean = 0.3 + 0.4 * torch.rand(3, generator=generator)
    coloured = torch.randn(3, 3, generator=generator)
    coloured = 0.25 * coloured / coloured.square().sum(1, keepdim=True).sqrt()
    frames, made = clip.transpose(0, 1), torch.zeros_like(clip.transpose(0, 1))
    rest = frames
    for level in range(_LEVELS):
        height, width = (max(length >> (level + 1), 1) for length in clip.shape[2:])
        coarse = F.interpolate(F.adaptive_avg_pool2d(frames, (height, width)), frames.shape[2:], mode="bilinear")
        made = made + to_device(gains[level], clip.device) * (rest - coarse)
        rest = coarse
    pixels = (made + rest).transpose(0, 1).flatten(1)  # (3, T H W)
    centred = (pixels - pixels.mean(1, keepdim=True)).double()
    covariance = centred @ centred.T / centred.shape[1] + 1e-6 * torch.eye(3, dtype=torch.float64, device=clip.device)
    # L^-1 whitens, whose covariance is L L^T; 3 x 3.
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky_ex(covariance).L, centred, upper=False).float()
    target = to_device(coloured, clip.device) @ whitened + to_device(mean, clip.device)[:, None]
    return target.unflatten(1, clip.shape[1:]).clamp(0, 1)
