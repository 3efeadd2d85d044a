"""Which convolutions are torch's plain ones."""

from __future__ import annotations

from typing import TypeGuard

from torch import nn


def is_plain_conv3d(module: nn.Module) -> TypeGuard[nn.Conv3d]:
    """Whether a module is a Conv3d that computes as torch's class does: no dilation, a number of zeros as padding."""
    return (
        isinstance(module, nn.Conv3d)
        and type(module).forward is nn.Conv3d.forward
        and type(module)._conv_forward is nn.Conv3d._conv_forward
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and set(module.dilation) == {1}
    )
