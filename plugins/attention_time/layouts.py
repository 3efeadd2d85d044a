"""When tokens are: the moments of an attention module's queries and keys, for each family of video transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pvbias.models import Recognizer
from pvbias.models.layer_features import LayerCall


@dataclass(frozen=True)
class Moments:
    """The moments of queries and keys in frames of the clip, NaN for what is no position (class tokens, padding).

    Attributes:
        queries, keys: ``(G, Lq)`` and ``(G, Lk)``: a clip's attention is computed in G parts (windows, places), one
            after another in the mini-batch.
    """

    queries: Tensor
    keys: Tensor


def attention_modules(recognizer: Recognizer) -> list[str]:
    """Names of the modules whose attention reaches over time, in the order in which the network defines them: those of
    which :func:`moments` knows the layout. Of nested ones the inner one; those of V-JEPA 2's predictor, which a
    classifier has and never calls, are not among them."""
    modules = dict(recognizer.module.named_modules())
    unused = tuple(f"{name}." for name, module in modules.items() if type(module).__name__ == "VJEPA2Predictor")
    found = [
        name for name, module in modules.items() if not name.startswith(unused) and _layout_of(name, module) is not None
    ]
    return [name for name in found if not any(other.startswith(f"{name}.") for other in found)]


def moments(call: LayerCall) -> Moments:
    """The moments of the tokens of a call of one of :func:`attention_modules`."""
    layout = _layout_of(call.name, call.module)
    assert layout is not None
    return layout(call)


def _layout_of(name: str, module: nn.Module) -> Callable[[LayerCall], Moments] | None:
    kind = type(module)
    layout = _LAYOUTS.get((kind.__module__.partition(".")[0], kind.__name__))
    # TimeSformer's divided attention: the other half of it looks at one frame at a time.
    if layout is _over_frames and ".temporal_attention." not in f".{name}.":
        return None
    return layout


def _in_frames(steps: int, num_frames: int) -> Tensor:
    """The middles of ``steps`` equal parts of a clip, ``(steps,)``."""
    return (torch.arange(steps) + 0.5) * num_frames / steps - 0.5


def _frames_first(steps: int, tokens: int, num_frames: int) -> Tensor:
    """Moments ``(1, L)`` of tokens in the order of frames, then places, after class tokens."""
    places = tokens // steps
    of_positions = _in_frames(steps, num_frames).repeat_interleave(places)
    classes = torch.full((tokens - steps * places,), torch.nan)
    return torch.cat([classes, of_positions])[None]


def _multiscale(call: LayerCall) -> Moments:
    """MViT of torchvision and of PyTorchVideo: queries and keys are pooled, in time, too."""
    tokens, size = call.args[0], tuple(call.args[1])
    classes = tokens.shape[1] - math.prod(size)
    queries, keys = (
        _pooled(getattr(call.module, name), size, classes, call.num_frames) for name in ("pool_q", "pool_k")
    )
    return Moments(queries, keys)


def _pooled(pool: Any, size: tuple[int, ...], classes: int, num_frames: int) -> Tensor:
    """Moments ``(1, L)`` of tokens of a grid ``size`` after a convolution or pooling (None: as they were), behind class
    tokens: that of an output is the middle of the tokens that it sees."""
    in_time, places = torch.arange(size[0], dtype=torch.float32), size[1] * size[2]
    if pool is not None:
        layer = getattr(pool, "pool", pool)
        kernel, stride, padding = (_triple(getattr(layer, name)) for name in ("kernel_size", "stride", "padding"))
        steps, *sides = ((size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in range(3))
        in_time, places = torch.arange(steps) * stride[0] - padding[0] + (kernel[0] - 1) / 2, math.prod(sides)
    times = (in_time + 0.5) * num_frames / size[0] - 0.5
    return torch.cat([torch.full((classes,), torch.nan), times.repeat_interleave(places)])[None]


def _triple(value: Any) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)


def _windows(call: LayerCall) -> Moments:
    """Swin3D of torchvision: windows, shifted in every other layer, of maps ``(N, T, H, W, C)``."""
    attention: Any = call.module
    size = call.args[0].shape[1:4]
    window = [min(own, length) for own, length in zip(attention.window_size, size, strict=True)]
    # A window as large as the map is not shifted.
    pairs = zip(attention.shift_size, attention.window_size, size, strict=True)
    shift = [0 if length <= own else moved for moved, own, length in pairs]
    padded = [-(-length // own) * own for length, own in zip(size, window, strict=True)]
    times = torch.full(padded, torch.nan)
    times[: size[0], : size[1], : size[2]] = _in_frames(size[0], call.num_frames)[:, None, None]
    times = times.roll([-moved for moved in shift], (0, 1, 2))
    counts = [length // own for length, own in zip(padded, window, strict=True)]
    parts = times.reshape(counts[0], window[0], counts[1], window[1], counts[2], window[2])
    of_windows = parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)
    return Moments(of_windows, of_windows)


def _over_frames(call: LayerCall) -> Moments:
    """TimeSformer's attention over time: ``(N places, T, C)``."""
    network: Any = call.network
    tokens, config = call.args[0], network.config
    places = (config.image_size // config.patch_size) ** 2
    times = _in_frames(tokens.shape[1], call.num_frames)[None].expand(places, -1)
    return Moments(times, times)


def _tubelets(call: LayerCall) -> Moments:
    """ViViT, VideoMAE and V-JEPA 2: all tokens of a clip, frames first."""
    network: Any = call.network
    config = network.config
    tubelet = config.tubelet_size
    # V-JEPA 2 takes clips of any length.
    frames = call.num_frames if hasattr(config, "frames_per_clip") else config.num_frames
    tokens = call.args[0] if call.args else call.kwargs["hidden_states"]
    steps = frames // (tubelet if isinstance(tubelet, int) else tubelet[0])
    times = _frames_first(steps, tokens.shape[1], call.num_frames)
    return Moments(times, times)


#: By package and class. transformers' names change with its versions.
_LAYOUTS = {
    ("torchvision", "MultiscaleAttention"): _multiscale,
    ("pytorchvideo", "MultiScaleAttention"): _multiscale,
    ("torchvision", "ShiftedWindowAttention3d"): _windows,
    ("transformers", "TimesformerSelfAttention"): _over_frames,
    ("transformers", "VideoMAESelfAttention"): _tubelets,
    ("transformers", "VivitSelfAttention"): _tubelets,
    ("transformers", "VivitAttention"): _tubelets,
    ("transformers", "VJEPA2RopeAttention"): _tubelets,
}
