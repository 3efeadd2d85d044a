"""Detection of a model's leading stages that process each frame by itself.

Many 3D networks begin with 2D convolutions: the first three of slow_r50's six stages have kernels of one frame, a third
of its arithmetic and nearly half of its time. What they make of a frame depends on that frame alone, so rearranging
frames before or after them comes to the same.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_NORMS = (nn.BatchNorm3d, nn.SyncBatchNorm)
_POOLS = (nn.AvgPool3d, nn.MaxPool3d)
#: Neither Dropout nor RReLU: what is random in training differs from frame to frame.
_ELEMENTWISE = (
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
)

#: Stages are tried on frames of this side, pixels, where those of the clips are not smaller.
_SIDE = 64


def count_frame_stages(stages: Sequence[nn.Module], *, channels: int, side: int) -> int:
    """Count the leading stages that process each frame by itself.

    A stage does if all its layers are of types that are known to, with kernels of one frame, and if three random frames
    together give what each gives alone: a container's own ``forward`` could still mix them. That is tried in evaluation
    mode on a copy with random weights, so that neither a zero in the stage's own hides what it computes nor anything in
    it changes. BatchNorm counts: in training mode its statistics of a repeated frame are those of the frame.

    Args:
        stages: modules applied one after another, the first to clips.
        channels: C of the clips.
        side: of their frames, pixels.
    """
    generator = torch.Generator().manual_seed(0)
    side = min(side, _SIDE)
    # Not inference mode, in which copied parameters could not be.
    with torch.inference_mode(False), torch.no_grad():
        features = torch.rand(1, channels, 3, side, side, generator=generator, dtype=torch.float64)
        for count, stage in enumerate(stages):
            if not all(_has_kernel_of_one_frame(layer) for layer in stage.modules() if not any(layer.children())):
                return count
            try:
                features, apart = _together_and_apart(_random_copy(stage, generator), features)
            except (RuntimeError, TypeError, ValueError, IndexError):  # not from a tensor of few frames to a tensor
                return count
            if features.shape != apart.shape or not torch.allclose(features, apart, rtol=1e-6):
                return count
    return len(stages)


def _has_kernel_of_one_frame(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv3d):
        padding = 0 if isinstance(layer.padding, str) else layer.padding[0]
        return (layer.kernel_size[0], layer.stride[0], padding) == (1, 1, 0)
    if isinstance(layer, _POOLS):
        # Without a stride a pool strides by its kernel.
        stride = layer.kernel_size if layer.stride is None else layer.stride
        return tuple(_temporal(size) for size in (layer.kernel_size, stride, layer.padding)) == (1, 1, 0)
    return isinstance(layer, _NORMS + _ELEMENTWISE)


def _temporal(size: int | Sequence[int]) -> int:
    return size[0] if isinstance(size, Sequence) else size


def _random_copy(stage: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of a stage with random weights, in evaluation mode, in double precision, on the CPU, without hooks."""
    twin = copy.deepcopy(stage).to("cpu", torch.float64).eval()
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    for value in (*twin.parameters(), *twin.buffers()):
        if value.dim() > 1:  # kernels: keep the size of what goes through
            value.normal_(std=value[0].numel() ** -0.5, generator=generator)
        elif value.is_floating_point():  # factors, shifts, statistics: variances have to be positive
            value.uniform_(0.5, 1.5, generator=generator)
    return twin


def _together_and_apart(stage: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    return stage(features), torch.cat([stage(frame) for frame in features.split(1, dim=2)], dim=2)
