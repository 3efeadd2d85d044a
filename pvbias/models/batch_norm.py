"""BatchNorm: running statistics kept out of forwards of other clips, and statistics over the clips of all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from fvcore.nn.distributed import differentiable_all_reduce
from torch import Tensor, nn

from ..distributed import get_world_size
from ..errors import ConfigError
from ..layers import FrozenFeatures
from ..layers.fast_forward import is_fast, is_replaced

#: torch's BatchNorms, SyncBatchNorm included; fvcore's own are subclasses.
_BatchNorm = nn.modules.batchnorm._BatchNorm


@contextmanager
def freeze_running_stats(module: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics unchanged by the forwards inside.

    Layers in training mode normalise with the mini-batch's own statistics, as always; layers in evaluation mode go on
    using the running ones. For forwards of clips that no recognizer will be asked about: frozen, shuffled, attacked.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def synchronised(*modules: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers in training mode normalise over the clips of all processes (SyncBatchNorm).

    What one process would compute from all of these clips, up to rounding, gradients included; with torch's kernels on
    GPUs. All processes must send their clips through the same layers in the same order. Inside, the layers are of a
    subclass of what they were, with the same parameters under the same names, and without their fast forwards. In a
    single process nothing changes.

    Raises:
        ConfigError: a layer's forward has been replaced by another function, which would go on without the others.
    """
    layers = [
        layer
        for module in modules
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and not isinstance(layer, nn.SyncBatchNorm)
    ]
    kinds: dict[nn.Module, Any] = {layer: type(layer) for layer in layers if get_world_size() > 1}
    for layer, kind in kinds.items():
        if is_replaced(layer):
            raise ConfigError(
                f"The forward of a {kind.__name__} of the model has been replaced: it cannot be synchronised. Set "
                "BN.NORM_TYPE to 'batchnorm', and BN.USE_PRECISE_STATS to False."
            )
    fast = {layer: vars(layer).pop("forward") for layer in kinds if is_fast(layer)}
    try:
        for layer, kind in kinds.items():
            layer.__class__ = _synchronised(kind)
        yield
    finally:
        for layer, kind in kinds.items():
            layer.__class__ = kind
        for layer, forward in fast.items():
            layer.forward = forward


@cache
def _synchronised(kind: Any) -> Any:
    """The subclass of a class of BatchNorms: what the class does before and after stays, as folding frames into the
    batch."""
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind, _Synchronised), names)


class _Synchronised(nn.SyncBatchNorm):
    """torch's SyncBatchNorm, also on CPUs, which torch's own refuses. Stands in for ``_BatchNorm`` among the bases of a
    class of BatchNorms."""

    process_group = None

    def forward(self, input: Tensor) -> Tensor:
        """The normalised features ``(N, C, ...)``."""
        if isinstance(input, FrozenFeatures):
            input = input.whole()
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        self._check_input_dim(input)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        dims, shape = [0, *range(2, input.dim())], (1, -1, *[1] * (input.dim() - 2))
        own_count = values.new_full((1,), values.numel() // values.shape[1])
        total = differentiable_all_reduce(torch.cat([values.sum(dims), own_count]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = values - mean.view(shape)
        variance = differentiable_all_reduce(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._update(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as torch does."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        self.running_var.mul_(1 - momentum).add_(variance, alpha=momentum)
