"""Models on the meta device: shapes of weights without memory, for comparing and for counting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..clips import ClipSpec
from .zoo_model import ZooModel


def build_shapes(entry: ZooModel, *, num_classes: int, clip_spec: ClipSpec | None = None) -> nn.Module:
    """Build a model of the catalogue on the meta device.

    Where a builder computes with its weights they are real.

    Args:
        entry: the model.
        num_classes: K.
        clip_spec: of the clips that it is for; None: its own.
    """
    spec = clip_spec or entry.clip_spec
    sizes = {"num_classes": num_classes, "num_frames": spec.num_frames, "crop_size": spec.crop_size}
    try:
        with _ShapesOnly():
            return entry.build(**sizes)
    except (RuntimeError, TypeError, ValueError):
        return entry.build(**sizes)


class _ShapesOnly(TorchFunctionMode):
    """A mode in which weights are allocated on the meta device, and not initialised.

    ``with torch.device("meta")`` would do for most, but takes three times as long, and leaves no numbers to builders
    that compute with small tensors (MViT's).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty:
            return func(*args, **{**kwargs, "device": "meta"})
        target = args[0] if args else kwargs.get("tensor")
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if in_place and isinstance(target, Tensor) and target.is_meta:
            return target
        return func(*args, **kwargs)
