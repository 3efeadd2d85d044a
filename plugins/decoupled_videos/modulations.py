"""Footprints: clips collapsed over time, which show the trace of the motion without its order.

The paper's footprint experiment (section 4.2.1, Table 1 b) trains and tests on them: ``DATA.MODULATION footprint_max``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pvbias.clips import Modulation
from pvbias.registries import MODULATION


@MODULATION.register(name="footprint_max")
@dataclass(frozen=True)
class FootprintMax(Modulation):
    """The largest value over time of each pixel and channel, repeated in every frame.

    On black (BrushMNIST) that is the trace of the brush. Over a picture (Places+Faces+MNIST) each pixel keeps the
    brighter of place and face, colour by colour: the face leaves a trace only where it is brighter than the place.
    """

    label = "collapsed to its maximum over time"

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`pvbias.clips.Modulation.__call__`."""
        return clips.amax(2, keepdim=True).expand_as(clips).contiguous(memory_format=_memory_format(clips))


@MODULATION.register(name="footprint_sum")
@dataclass(frozen=True)
class FootprintSum(Modulation):
    """The sum over time of each pixel and channel, cut off at the end of the range (255 for uint8, 1 for floats),
    repeated in every frame.

    On black (BrushMNIST) that is the trace of the brush, its soft edges drawn out to full white. Anything else than a
    dark background (Places+Faces+MNIST) is white after a few frames: there, take ``footprint_max``.
    """

    label = "collapsed to its sum over time"

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`pvbias.clips.Modulation.__call__`."""
        limit = 1 if clips.is_floating_point() else 255
        total = clips.sum(2, keepdim=True).clamp(max=limit).to(clips.dtype)
        return total.expand_as(clips).contiguous(memory_format=_memory_format(clips))


def _memory_format(clips: Tensor) -> torch.memory_format:
    return torch.contiguous_format if clips.is_contiguous() else torch.channels_last_3d
