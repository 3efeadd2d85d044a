"""Parameters and multiply-adds of a model, counted without weights in memory and without computing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from .shapes import build_shapes
from .zoo_model import ZooModel


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Parameters and multiply-adds of one model.

    Attributes:
        parameters: numbers that training can change, the final projection's among them.
        multiply_adds: of one forward of one clip, in convolutions and matrix products. What papers call FLOPs; some of
            them count normalisation layers and poolings, too, which adds up to 9 % (X3D).
    """

    parameters: int
    multiply_adds: int


def count_cost(model: ZooModel, *, crop_size: int = 0, num_classes: int = 400) -> Cost:
    """Count parameters and multiply-adds for the clips that a model was made for.

    Args:
        model: an entry of the catalogue.
        crop_size: side of the crop in pixels; 0: the test crop, as in the figures that model zoos publish.
        num_classes: of the final projection; Kinetics-400's by default.
    """
    spec = model.clip_spec
    module = build_shapes(model, num_classes=num_classes).eval()
    side = crop_size or spec.test_crop_size
    try:
        multiply_adds = _count_multiply_adds(module.to("meta"), model, side)
    except RuntimeError:  # a module that looks at values, which there are none of
        real = model.build(num_classes=num_classes, num_frames=spec.num_frames, crop_size=spec.crop_size)
        multiply_adds = _count_multiply_adds(real.eval(), model, side)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Cost(parameters=parameters, multiply_adds=multiply_adds)


def _count_multiply_adds(module: nn.Module, model: ZooModel, side: int) -> int:
    spec = model.clip_spec
    clip = torch.zeros(1, len(spec.mean), spec.num_frames, side, side, device=next(module.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _WithoutElementwise():
        module(model.pathways(clip))
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two


class _WithoutElementwise(TorchFunctionMode):
    """A mode that skips normalisation, activations and dropout, which take most of the time on the meta device."""

    SKIPPED = frozenset({F.batch_norm, F.layer_norm, F.relu, F.silu, F.gelu, F.dropout})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.SKIPPED else func(*args, **(kwargs or {}))
