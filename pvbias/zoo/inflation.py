"""2D kernels for 3D convolutions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def inflate(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels of a 2D network for the 3D layers of the same names: repeated over time and divided by its length.

    ::

        (M_out, M_in / groups, H, W) -> (M_out, M_in / groups, T, H, W), whose sum over time is the 2D kernel

    A video of one repeated frame then gives the 2D network's response wherever the 3D kernel lies inside the clip
    (Carreira and Zisserman 2017, section 2.4.1, "inflating"). Where it reaches over an end into zero padding, the
    response of t of T slices is t / T of it.

    Args:
        weights: a file's.
        own: the model's state dict.

    Returns:
        The inflated kernels alone, in the file's type: those with four dimensions in the file and five in the model
        that agree in all but time.
    """
    return {
        name: kernel[:, :, None].expand(own[name].shape) / own[name].shape[2]
        for name, kernel in weights.items()
        if name in own and own[name].dim() == 5 and kernel.shape == own[name].shape[:2] + own[name].shape[3:]
    }
