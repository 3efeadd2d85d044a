"""Where and when a recognizer sees a class: its last feature map over space and time, and Grad-CAM on it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pvbias.errors import ConfigError
from pvbias.models import Recognizer, evaluation_mode


class NoFeatureMapError(ConfigError):
    """The model's last layers have no maps over space and time to look at; the message says what it has instead."""


@dataclass(frozen=True)
class FeatureMap:
    """The last feature map of one clip, and how much a class's logit depends on it.

    Attributes:
        features: float32 ``(D, t, h, w)``, after the activation function where there is one.
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
    """How much each place and moment of a clip speaks for a class: Grad-CAM on the last feature map.

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


def last_feature_map(recognizer: Recognizer, clip: Tensor, label: int) -> FeatureMap:
    """The feature map that the model's last convolution ends in, on the CPU; arguments as for
    :func:`class_activation`.

    It is found by running the model: the last Conv3d before the final projection that looks beyond a single position
    gives the size ``(t, h, w)``, and the last inner module whose output has that size gives the map, so that a
    normalisation, residual sum and activation function after the convolution are in it, and the pooling of the head is
    not. Of several pathways it is the one with most frames.

    Raises:
        NoFeatureMapError: the model has no such convolution, or goes on with tokens after it.
    """
    if not recognizer.head_name:
        raise NoFeatureMapError("The network has no final projection that its feature maps would come before.")
    # Not inference tensors, whoever calls: those have no gradients.
    with torch.inference_mode(False), evaluation_mode(recognizer):
        clips = (clip.float() / 255 if clip.dtype == torch.uint8 else clip.float().clone())[None]
        clips = clips.to(recognizer.mean.device)
        with torch.no_grad():
            call, pathway = _find(recognizer, clips)
        found: list[Tensor] = []

        def keep(number: int, module: nn.Module, outputs: Sequence[Tensor]) -> None:
            if number == call:
                found.append(outputs[pathway])

        with torch.enable_grad():
            # The clip needs a gradient, or there would be no graph where all parameters are frozen.
            logits = _forward(recognizer, clips.requires_grad_(), keep)
            (gradient,) = torch.autograd.grad(logits[0, label], found)
    return FeatureMap(found[0].detach()[0].float().cpu(), gradient[0].float().cpu())


def _find(recognizer: Recognizer, clips: Tensor) -> tuple[int, int]:
    """Find the last feature map: the number of the inner module's call that gives it, and of its output."""
    calls: list[tuple[nn.Module, list[torch.Size]]] = []
    _forward(recognizer, clips, lambda _, module, outputs: calls.append((module, [out.shape for out in outputs])))
    convolutions = [
        number
        for number, (module, _) in enumerate(calls)
        if isinstance(module, nn.Conv3d) and max(module.kernel_size) > 1
    ]
    if not convolutions:
        raise NoFeatureMapError("The model has no convolution over space and time (a Conv3d): there are no maps.")
    last = convolutions[-1]
    if any(isinstance(module, nn.Linear) and math.prod(shapes[0][1:-1]) > 1 for module, shapes in calls[last:]):
        raise NoFeatureMapError("After its last convolution the model goes on with tokens: there are no maps.")
    size = calls[last][1][0][2:]
    alike = [number for number, (_, shapes) in enumerate(calls) if size in [shape[2:] for shape in shapes]]
    pathways = {number: shape[2] for number, shape in enumerate(calls[alike[-1]][1]) if len(shape) == 5}
    return alike[-1], max(pathways, key=lambda number: pathways[number])


def _forward(recognizer: Recognizer, clips: Tensor, watch: Callable[[int, nn.Module, list[Tensor]], None]) -> Tensor:
    """Logits ``(1, K)``. Whenever an inner module is done, until the final projection begins, ``watch`` gets the
    number of the call, the module, and the tensors it has put out: one, or one for each pathway."""
    numbers = itertools.count()
    at_head: list[bool] = []

    def done(module: nn.Module, args: Any, output: Any) -> None:
        if not at_head:
            # Listed anew: PyTorchVideo's multi-pathway blocks write their results into the list they were given.
            outputs = [output] if isinstance(output, Tensor) else [o for o in output if isinstance(o, Tensor)]
            watch(next(numbers), module, outputs)

    handles = [module.register_forward_hook(done) for module in recognizer.module.modules()]
    handles.append(recognizer.head.register_forward_pre_hook(lambda *_: at_head.append(True)))
    try:
        return recognizer(clips)
    finally:
        for handle in handles:
            handle.remove()
