"""Temporary evaluation mode that restores the mode of each inner module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode; on leaving, also after an error, restore the mode of each inner module.

    Inner modules differ in mode where a part is frozen: BatchNorm layers in evaluation mode in a network that trains.
    ``module.train()`` on the whole would set them all to training.

    Args:
        modules: as many as are needed; those that share inner modules, too.
    """
    modes = {inner: inner.training for module in modules for inner in module.modules()}
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for inner, training in modes.items():
            inner.training = training
