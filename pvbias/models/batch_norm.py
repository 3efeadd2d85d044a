"""BatchNorm's running statistics, kept out of forwards that are not of the training clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

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
