"""Style changes: the same motion in other colours, as lines, or as a mosaic; and accuracy on them.

Actors and scenes look otherwise, as when people give way to animals (ActorShift: Zhang et al., "Audio-Adaptive Activity
Recognition Across Video Domains", CVPR 2022), and what they do stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pvbias.clips import ORIGINAL, Modulation, parameter
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, MODULATION

from .compositing import as_pixels, check_rgb, in_format_of
from .evaluators import PlainAccuracies

#: Cells of a mosaic along the shorter side.
_CELLS = 16

#: Brightness that a step from one pixel to the next but one takes from the paper, in units of the step.
_INK = 2.0

_STYLES = {
    "colours": "in other colours",
    "lines": "as a line drawing",
    "mosaic": "as a mosaic",
}


@MODULATION.register(name="restyle")
@dataclass(frozen=True)
class Restyle(Modulation):
    """Each frame in another style, the same one in all frames of a clip.

    - ``colours``: red, green and blue change places; each is inverted or not, and goes through a curve x^g, g from 1/2
      to 2. Which, the clip's seed determines; never such that all stay what they were.
    - ``lines``: dark lines on white where brightness changes.
    - ``mosaic``: cells of one colour each, 16 along the shorter side.
    """

    of_rgb = True

    style: str = parameter("colours", "which one", choices=tuple(_STYLES))

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        return _STYLES[self.style]

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`.Modulation.__call__`."""
        check_rgb(clips, self.spec)
        values = clips if clips.is_floating_point() else clips.float() / 255
        if self.style == "colours":
            made = torch.stack([_recoloured(clip, seed) for clip, seed in zip(values, seeds, strict=True)])
        else:
            made = _drawn(values) if self.style == "lines" else _mosaic(values)
        return in_format_of(clips, as_pixels(made, clips))


def _recoloured(clip: Tensor, seed: int) -> Tensor:
    """A clip ``(3, T, H, W)`` in other colours."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(3, generator=generator)
    while True:  # the colours as they were are drawn again
        order = torch.randperm(3, generator=generator)
        inverted = torch.rand(3, generator=generator) < 0.5
        if inverted.any() or order.tolist() != [0, 1, 2]:
            break
    curves = 2 ** (2 * drawn - 1)
    channels = [
        (1 - clip[source] if turned else clip[source]) ** curve
        for source, turned, curve in zip(order.tolist(), inverted.tolist(), curves.tolist(), strict=True)
    ]
    return torch.stack(channels)


def _drawn(clips: Tensor) -> Tensor:
    """Clips as dark lines on white."""
    brightness = (clips * clips.new_tensor([0.299, 0.587, 0.114])[:, None, None, None]).sum(1)
    padded = F.pad(brightness, (1, 1, 1, 1), mode="replicate")  # (N, T, H + 2, W + 2)
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]).abs()
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]).abs()
    return (1 - _INK * (across + down)).clamp(min=0)[:, None].expand_as(clips)


def _mosaic(clips: Tensor) -> Tensor:
    """Clips in cells."""
    height, width = clips.shape[3:]
    side = max(min(height, width) // _CELLS, 2)
    frames = clips.transpose(1, 2).flatten(0, 1)  # (N T, 3, H, W)
    cells = F.avg_pool2d(frames, side, ceil_mode=True)
    whole = cells.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :height, :width]
    return whole.unflatten(0, (len(clips), -1)).transpose(1, 2)


@EVALUATOR.register(name="style_shift")
class StyleShiftAccuracy(PlainAccuracies):
    """Top-1 accuracy on the clips as they are, and in each of three other styles (:class:`Restyle`)."""

    needs = Needs(modulations=(ORIGINAL, *(Restyle(style=style).spec for style in _STYLES)))
