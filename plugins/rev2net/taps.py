"""Which of a recognizer's feature maps decoders can start from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pvbias.errors import ConfigError
from pvbias.models import Recognizer, evaluation_mode

from .decoders import SPATIAL_FACTORS, TEMPORAL_FACTORS, choice, factor_between

#: Of the paper's tap (Conv3d_2c of Inception-I3D), in space.
_PAPERS_FACTOR = 4

_Shape = tuple[int, ...]


def choose_tap(recognizer: Recognizer, name: str, clip_shape: _Shape) -> tuple[str, _Shape]:
    """The feature map that is decoded.

    One grey clip goes through the recognizer, in evaluation mode; its weights, statistics and modes stay.

    Args:
        recognizer: the model.
        name: of the inner module (``REV2NET.TAP``); empty: the last of the outermost modules whose feature map has a
            quarter of the clip's height and width. Outermost, because the blocks that make a map smaller begin with
            layers that do not.
        clip_shape: ``(C, T, H, W)`` of the training clips.

    Returns:
        Its name, and the shape ``(D, t, h, w)`` of its feature map.

    Raises:
        ConfigError: there is no such module, or decoders cannot start there; the message lists where they can.
    """
    maps = _feature_maps(recognizer, clip_shape)
    usable = {tap: shape for tap, shape in maps.items() if _factors(shape, clip_shape)}
    outermost = min((tap.count(".") for tap in usable), default=0)
    listed = ", ".join(f"{tap} {shape}" for tap, shape in usable.items() if tap.count(".") == outermost)
    advice = (
        f"Feature maps (D, t, h, w) that can be decoded to clips {clip_shape} (C, T, H, W), {choice(SPATIAL_FACTORS)} "
        f"times smaller in space and {choice(TEMPORAL_FACTORS)} times in time: {listed or 'there is none'}."
    )
    if name:
        recognizer.submodule(name)  # raises where there is none
        if name in usable:
            return name, usable[name]
        made = f"gives {maps[name]}" if name in maps else "gives no feature map (N, D, t, h, w) in a forward"
        raise ConfigError(f"REV2NET.TAP = {name!r} {made}. {advice}")
    quarter = [tap for tap, shape in usable.items() if _factors(shape, clip_shape)[-1] == _PAPERS_FACTOR]
    if not quarter:
        raise ConfigError(f"No feature map has a quarter of the clip's height and width: set REV2NET.TAP. {advice}")
    least = min(tap.count(".") for tap in quarter)
    chosen = [tap for tap in quarter if tap.count(".") == least][-1]
    return chosen, usable[chosen]


def _feature_maps(recognizer: Recognizer, clip_shape: _Shape) -> Mapping[str, _Shape]:
    """Shapes ``(D, t, h, w)`` of what inner modules give, in the order in which they finish."""
    maps: dict[str, _Shape] = {}

    def note(name: str, module: nn.Module) -> RemovableHandle:
        def keep(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 5:
                maps.pop(name, None)
                maps[name] = tuple(output.shape[1:])

        return module.register_forward_hook(keep)

    handles = [note(name, module) for name, module in recognizer.module.named_modules() if name]
    try:
        with torch.no_grad(), evaluation_mode(recognizer):
            recognizer(torch.full((1, *clip_shape), 0.5, device=recognizer.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    return maps


def _factors(feature_shape: _Shape, clip_shape: _Shape) -> tuple[int, ...]:
    """As :func:`factor_between`; empty: decoders cannot start there."""
    try:
        return factor_between(feature_shape, clip_shape)
    except ConfigError:
        return ()
