"""Grad-CAM on a recognizer's last feature map, over space and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pvbias.errors import ConfigError
from pvbias.models import Recognizer, evaluation_mode
from pvbias.models.feature_maps import Layout, grid_beside, layouts


class NoFeatureMapError(ConfigError):
    """The model's last layers have no feature maps over space and time, nor tokens whose places are known; the message
    says what it has instead."""


@dataclass(frozen=True)
class FeatureMap:
    """The last feature map of one clip, with the gradient of a class's logit.

    Attributes:
        features: float32 ``(D, t, h, w)``, after the activation function where there is one; of tokens normalised.
        gradient: of the logit with respect to ``features``, likewise.
    """

    features: Tensor
    gradient: Tensor

    def over_time(self) -> Tensor:
        """``(t,)``: the mean over channels and positions of what is positive, >= 0."""
        return self.features.clamp_min(0).mean((0, 2, 3))

    def class_activation(self, size: Sequence[int]) -> Tensor:
        """``(T, H, W)`` in [0, 1] for a clip of this ``size``; see :func:`class_activation`."""
        weights = self.gradient.mean((1, 2, 3))
        activation = torch.einsum("d,dthw->thw", weights, self.features).clamp_min(0)
        resized = nn.functional.interpolate(activation[None, None], tuple(size), mode="trilinear")[0, 0]
        return resized / resized.max().clamp_min(torch.finfo(resized.dtype).tiny)


def class_activation(recognizer: Recognizer, clip: Tensor, label: int) -> Tensor:
    """Class activation map of a clip over space and time: Grad-CAM on the last feature map.

    ::

        features (D, t, h, w) -> weight of each channel: the mean gradient of the class's logit
          -> weighted sum (t, h, w), what is negative cut off -> (T, H, W), divided by its largest value

    For a network that ends in global average pooling and a linear layer this is the class activation map (CAM), since
    the gradient is then the linear layer's weight at every position.

    The recognizer stays as it is: modes, BatchNorm statistics and the parameters' gradients.

    Args:
        recognizer: on any device, in any mode; it is looked at in evaluation mode, in fp32.
        clip: ``(C, T, H, W)``, uint8 or float in [0, 1].
        label: class, 0 .. K-1.

    Returns:
        float32 ``(T, H, W)`` in [0, 1], on the CPU; 1 where the class is seen most, 0 everywhere if it is seen nowhere.

    Raises:
        NoFeatureMapError: see :func:`last_feature_map`.
    """
    return last_feature_map(recognizer, clip, label).class_activation(clip.shape[1:])


def last_feature_map(
    recognizer: Recognizer, clip: Tensor, label: int, *, last_stage_input: Tensor | None = None
) -> FeatureMap:
    """The model's last feature map, on the CPU; arguments as for :func:`class_activation`.

    It is found by running the model. Convolutional networks: the last Conv3d before the final projection that looks
    beyond a single position gives the size ``(t, h, w)``, and the last inner module whose output has that size gives
    the map, so that a normalisation, residual sum and activation function after the convolution are in it, and the
    pooling of the head is not. Of several pathways it is the one with most frames.

    Transformers: the output of the last LayerNorm at whose positions the logit has a gradient. Where a class token is
    classified that is the one before the last attention, since behind it nothing of the other tokens is used.

    Args:
        last_stage_input: what the model's last stage was given for this clip, ``(D, t, h, w)``, where only that stage
            has to run (:func:`feature_before_last_stage`). None: the whole model runs.

    Raises:
        NoFeatureMapError: the model has neither.
    """
    if not recognizer.head_name:
        raise NoFeatureMapError("The network has no final projection that its feature maps would come before.")
    # Not inference tensors, whoever calls: those have no gradients.
    with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(recognizer):
        device = recognizer.mean.device
        if last_stage_input is not None and math.prod(last_stage_input.shape[1:]) > 1:
            # The input needs a gradient, or there would be no graph where all parameters are frozen.
            given = last_stage_input.float().clone()[None].to(device).requires_grad_()
            calls = [_Call(None, given, [given])]
            logits = _watched(recognizer, lambda: recognizer.stages[-1](given), calls)
            feature, layout = _last_of_size(calls, given.shape[2:]), None
        else:
            clips = (clip.float() / 255 if clip.dtype == torch.uint8 else clip.float().clone())[None]
            clips = clips.to(device).requires_grad_()
            calls = []
            logits = _watched(recognizer, lambda: recognizer(clips), calls)
            size = _size(calls)
            if size is None:
                feature, layout = _last_tokens(calls, logits[0, label])
            else:
                feature, layout = _last_of_size(calls, size), None
        (gradient,) = torch.autograd.grad(logits[0, label], feature)
    both = (feature.detach(), gradient)
    maps = [(each if layout is None else layout.read(each))[0].float().cpu() for each in both]
    return FeatureMap(*maps)


def feature_before_last_stage(recognizer: Recognizer) -> str:
    """The dotted name of the inner module whose output the last stage is given, where the last feature map is that or
    is made of it in the last stage; empty where the whole model has to run to find it.

    For models of stages one after another whose last one, the head, has no convolution over several positions, and the
    one before it no pooling.
    """
    stages = recognizer.stages
    if len(stages) < 2:
        return ""
    before, head = stages[-2:]
    convolves = any(isinstance(layer, nn.Conv3d) and max(layer.kernel_size) > 1 for layer in before.modules())
    # Not adaptive ones, which squeeze-and-excitation has beside the way.
    pools = any(isinstance(layer, (nn.AvgPool3d, nn.MaxPool3d)) for layer in before.modules())
    convolves_again = any(isinstance(layer, nn.Conv3d) and max(layer.kernel_size) > 1 for layer in head.modules())
    if not convolves or pools or convolves_again:
        return ""
    return next(name for name, module in recognizer.module.named_modules() if module is before)


@dataclass(frozen=True)
class _Call:
    """A call of an inner module (None: what it began with), what it has put out, and the tensors in that: one a
    pathway."""

    module: nn.Module | None
    output: Any
    outputs: Sequence[Tensor]


def _size(calls: Sequence[_Call]) -> torch.Size | None:
    """``(t, h, w)`` of the last convolution's output; None where there is none over several positions, or tokens come
    after it."""
    convolutions = [
        number
        for number, call in enumerate(calls)
        if isinstance(call.module, nn.Conv3d) and max(call.module.kernel_size) > 1
    ]
    if not convolutions:
        return None
    last = convolutions[-1]
    if any(isinstance(call.module, nn.Linear) and math.prod(call.outputs[0].shape[1:-1]) > 1 for call in calls[last:]):
        return None
    return calls[last].outputs[0].shape[2:]


def _last_tokens(calls: Sequence[_Call], logit: Tensor) -> tuple[Tensor, Layout]:
    """The last normalised tokens at whose positions the logit has a gradient, and where they are."""
    grids = [grid for call in calls if (grid := grid_beside(call.output)) is not None]
    grids += [_grid(call.outputs[0].shape[2:]) for call in calls if isinstance(call.module, nn.Conv3d)]
    for call in reversed(calls):
        if not isinstance(call.module, nn.LayerNorm) or not call.outputs[0].requires_grad:
            continue
        found = [each for each in layouts(call.outputs[0], grids) if each.form in ("tokens", "channels last")]
        if not found:
            continue
        (gradient,) = torch.autograd.grad(logit, call.outputs[0], retain_graph=True, allow_unused=True)
        if gradient is not None and bool(found[0].read(gradient).any()):
            return call.outputs[0], found[0]
    raise NoFeatureMapError(
        "The model has neither a last convolution over space and time (a Conv3d) nor tokens whose places in space and "
        "time are known: there are no maps."
    )


def _grid(size: Sequence[int]) -> tuple[int, int, int]:
    return (size[0], size[1], size[2])


def _last_of_size(calls: Sequence[_Call], size: torch.Size) -> Tensor:
    """The last output of this size, and of several pathways' that with most frames."""
    last = [call for call in calls if size in [output.shape[2:] for output in call.outputs]][-1]
    maps = [output for output in last.outputs if output.dim() == 5]
    return max(maps, key=lambda output: output.shape[2])


def _watched(recognizer: Recognizer, forward: Callable[[], Tensor], calls: list[_Call]) -> Tensor:
    """Logits ``(1, K)``; the calls of inner modules are appended as they end, until the final projection begins."""
    at_head: list[bool] = []

    def done(module: nn.Module, args: Any, output: Any) -> None:
        if not at_head:
            # Listed anew: PyTorchVideo's multi-pathway blocks write their results into the list they were given.
            outputs = [output] if isinstance(output, Tensor) else [o for o in output if isinstance(o, Tensor)]
            calls.append(_Call(module, output, outputs))

    handles = [module.register_forward_hook(done) for module in recognizer.module.modules()]
    handles.append(recognizer.head.register_forward_pre_hook(lambda *_: at_head.append(True)))
    try:
        return forward()
    finally:
        for handle in handles:
            handle.remove()
