"""The fast forward of a module, and which modules have one."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn


class FastForward(partial[Any]):
    """The forward of a module's kind with the module; it stands in the module's ``forward``."""


def is_fast(module: nn.Module) -> bool:
    """Whether a module has the fast forward of its kind."""
    return isinstance(vars(module).get("forward"), FastForward)


def is_replaced(module: nn.Module) -> bool:
    """Whether a module computes by a forward that somebody else has put in its class's place."""
    return "forward" in vars(module) and not is_fast(module)
