"""Choice of the feature map that decoders start from, and the part of the network that they reach from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pvbias.errors import ConfigError
from pvbias.models import Recognizer, evaluation_mode
from pvbias.models.feature_maps import Layout, layouts

from .decoders import SPATIAL_FACTORS, TEMPORAL_FACTORS, choice, factor_between

#: Of the paper's tap (Conv3d_2c of Inception-I3D), in space, and what is taken where that reaches too little.
_FACTORS = (4, 8, 16)
#: Of the encoder's weights: decoders that reach less teach it nothing.
_LEAST_SHARE = 0.01

_Shape = tuple[int, ...]


class Reach(NamedTuple):
    """The part of an encoder that decoders train: all of it that comes before their feature map.

    Attributes:
        layers: layers with kernels or matrices, of which there are ``all_layers``; the final projection is none of
            them.
        share: of the encoder's weights, in [0, 1]. Weights that do not train do not count.
    """

    layers: int
    all_layers: int
    share: float

    def __str__(self) -> str:
        return f"{self.layers} of {self.all_layers} layers, {100 * self.share:.3g} % of the encoder's weights"


@dataclass(frozen=True)
class Tap:
    """A feature map to decode.

    Attributes:
        name: of the inner module that gives it.
        layout: how.
        reach: of decoders that start there.
    """

    name: str
    layout: Layout
    reach: Reach


def choose_tap(recognizer: Recognizer, name: str, clip_shape: _Shape) -> Tap:
    """Choose the feature map that is decoded.

    One grey clip goes through the recognizer, in evaluation mode; its weights, statistics and modes stay.

    Args:
        recognizer: the model.
        name: of the inner module (``REV2NET.TAP``). Empty: the one that the zoo names for its model
            (``Recognizer.tap``). Where it names none, of a transformer the block in the middle of its depth; of
            another network the last of the outermost modules whose feature map has a quarter of the clip's height and
            width, or, where that reaches less than 1 % of the weights, an eighth or a sixteenth. Outermost, because the
            blocks that make a map smaller begin with layers that do not.
        clip_shape: ``(C, T, H, W)`` of the training clips.

    Raises:
        ConfigError: there is no such module, decoders cannot start there, or they would reach less than 1 % of the
            encoder's weights; the message lists where they can.
    """
    encoder = _Encoder(recognizer, clip_shape)
    if name:
        recognizer.submodule(name)  # raises where there is none
        return encoder.tap(name, f"REV2NET.TAP = {name!r}")
    if recognizer.tap:
        return encoder.tap(recognizer.tap, f"The model's own tap {recognizer.tap!r} (REV2NET.TAP is empty)")
    blocks = encoder.blocks()
    candidates = blocks[: (len(blocks) + 1) // 2][::-1]
    if not blocks:
        candidates = [tap for factor in _FACTORS for tap in encoder.outermost(factor)[-1:]]
    for candidate in candidates:
        if candidate in encoder.usable and encoder.reach(candidate).share >= _LEAST_SHARE:
            return encoder.tap(candidate, candidate)
    raise ConfigError(f"No feature map is one to start from by itself: set REV2NET.TAP. {encoder.advice()}")


class _Encoder:
    """A recognizer, and what its inner modules give for one clip.

    Attributes:
        usable: the layouts of feature maps that decoders can start from, by module, in the order in which the modules
            finish.
    """

    def __init__(self, recognizer: Recognizer, clip_shape: _Shape) -> None:
        self.recognizer = recognizer
        self.clip_shape = clip_shape
        self._outputs = _run(recognizer, clip_shape)
        self._layouts = _read(self._outputs, clip_shape)
        self.usable = {name: found for name, found in self._layouts.items() if _factors(found.shape, clip_shape)}
        self._layers = _layers(recognizer)

    def tap(self, name: str, what: str) -> Tap:
        """The tap of that name; raises ConfigError, which begins with ``what``, where it will not do."""
        if name not in self.usable:
            layout = self._layouts.get(name)
            made = f"gives {layout.shape}" if layout else "gives no feature map (N, D, t, h, w) in a forward"
            raise ConfigError(f"{what} {made}. {self.advice()}")
        reach = self.reach(name)
        if reach.share < _LEAST_SHARE:
            raise ConfigError(
                f"{what} comes so early that the decoders reach {reach}: less than {100 * _LEAST_SHARE:.0f} % of them. "
                f"Set REV2NET.TAP to a module that comes later. {self.advice()}"
            )
        return Tap(name, self.usable[name], reach)

    def blocks(self) -> list[str]:
        """A transformer's blocks, in order: of the modules that give tokens or channels last, the kind that is repeated
        most often. Empty: it is none."""
        module = self.recognizer.module
        kinds: dict[str, type] = {}
        for name, layout in self._layouts.items():
            parent, inner = module.get_submodule(name.rpartition(".")[0]), module.get_submodule(name)
            repeated = isinstance(parent, (nn.ModuleList, nn.Sequential)) and not isinstance(inner, nn.Sequential)
            if layout.form in ("tokens", "channels last") and repeated and any(inner.children()):
                kinds[name] = type(inner)
        if not kinds:
            return []
        ((kind, _),) = Counter(kinds.values()).most_common(1)
        return [name for name, own in kinds.items() if own is kind]

    def outermost(self, factor: int | None = None) -> list[str]:
        """The usable ones that lie least deep; of those that are ``factor`` times smaller than the clip."""
        names = [
            name
            for name, layout in self.usable.items()
            if factor is None or _factors(layout.shape, self.clip_shape)[-1] == factor
        ]
        least = min((name.count(".") for name in names), default=0)
        return [name for name in names if name.count(".") == least]

    def reach(self, name: str) -> Reach:
        """The reach of decoders of a module's output."""
        names = {id(parameter): key for key, parameter in self.recognizer.module.named_parameters()}
        reached = {names[key] for key in _leaves(self._outputs[name]) if key in names}
        own = [parameter for layer in self._layers.values() for parameter in layer]
        sizes = {names[id(parameter)]: parameter.numel() for parameter in own}
        kernels = [{names[id(each)] for each in layer if each.dim() > 1} for layer in self._layers.values()]
        layers = [kernel for kernel in kernels if kernel]
        return Reach(
            layers=sum(bool(kernel & reached) for kernel in layers),
            all_layers=len(layers),
            share=sum(sizes[key] for key in reached if key in sizes) / max(1, sum(sizes.values())),
        )

    def advice(self) -> str:
        """List, for errors, the modules that decoders can start from."""
        names = [name for name in self.blocks() or self.outermost() if name in self.usable]
        listed = "; ".join(f"{name} {self.usable[name].shape}, {self.reach(name)}" for name in names)
        return (
            f"Feature maps (D, t, h, w) that can be decoded to clips {self.clip_shape} (C, T, H, W), "
            f"{choice(SPATIAL_FACTORS)} times smaller in space and {choice(TEMPORAL_FACTORS)} times in time, and what "
            f"decoders reach from there: {listed or 'there is none'}."
        )


def _layers(recognizer: Recognizer) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters of each inner module but the final projection, each once."""
    seen: set[int] = set()
    layers: dict[str, list[nn.Parameter]] = {}
    for name, module in recognizer.module.named_modules():
        if name == recognizer.head_name or name.startswith(f"{recognizer.head_name}."):
            continue
        own = [each for each in module.parameters(recurse=False) if each.requires_grad and id(each) not in seen]
        seen |= {id(parameter) for parameter in own}
        if own:
            layers[name] = own
    return layers


def _run(recognizer: Recognizer, clip_shape: _Shape) -> dict[str, Any]:
    """Outputs of inner modules for a grey clip, with graph, in the order in which they finish."""
    outputs: dict[str, Any] = {}

    def note(name: str, module: nn.Module) -> RemovableHandle:
        def keep(_: nn.Module, __: object, output: Any) -> None:
            outputs.pop(name, None)
            # PyTorchVideo's blocks of several pathways write into the list that they were given.
            outputs[name] = list(output) if isinstance(output, list) else output

        return module.register_forward_hook(keep)

    handles = [note(name, module) for name, module in recognizer.module.named_modules() if name]
    try:
        with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(recognizer):
            recognizer(torch.full((1, *clip_shape), 0.5, device=recognizer.mean.device))
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _read(outputs: Mapping[str, Any], clip_shape: _Shape) -> dict[str, Layout]:
    """Choose the layout of each output: one that can be decoded, where there is one."""
    found: dict[str, Layout] = {}
    grids: list[tuple[int, int, int]] = []
    for name, output in outputs.items():
        possible = layouts(output, grids)
        if not possible:
            continue
        fitting = [layout for layout in possible if _factors(layout.shape, clip_shape)]
        # Too small to be decoded, or the wrong number of frames: which way round it is, its sides still say.
        square = [layout for layout in possible if layout.grid[1] == layout.grid[2]]
        found[name] = (fitting or square or possible)[0]
        if fitting and fitting[0].form == "channels first":
            grids.append(fitting[0].grid)
    return found


def _leaves(output: Any) -> Collection[int]:
    """Ids of the parameters that an output was computed from."""
    tensors = [each for each in (output if isinstance(output, (list, tuple)) else [output]) if isinstance(each, Tensor)]
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen, leaves = set(waiting), set()
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        new = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= new
        waiting += new
    return leaves


def _factors(feature_shape: Sequence[int], clip_shape: _Shape) -> tuple[int, ...]:
    """As :func:`factor_between`; empty: decoders cannot start there."""
    try:
        return factor_between(feature_shape, clip_shape)
    except ConfigError:
        return ()
