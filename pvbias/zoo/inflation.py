"""Inflation of 2D kernels to 3D, and averaging of RGB kernels for other channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

#: Channels of RGB.
_RGB = 3


def inflate(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inflate the kernels of a 2D network for the 3D layers of the same names: repeated over time and divided by its
    length.

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


def average_over_rgb(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average the first kernel of a network on RGB for a model of the same names on other channels: optical flow, grey
    values.

    ::

        (M, 3, ...) -> mean over RGB (M, 1, ...) -> the same for each channel (M, C, ...)

    That is TSN's cross-modality initialisation (Wang et al. 2016, section 3.2). For a single channel it is the sum over
    RGB instead, what the network makes of a grey picture.

    Args:
        weights: a file's, 2D kernels already inflated (:func:`inflate`) or not.
        own: the model's state dict; its first kernel is that of its first convolution.

    Returns:
        The kernel, in the file's type, inflated where the model's is 3D and the file's 2D; nothing where the model sees
        three channels, or the two differ in more than channels and time.
    """
    name = next((name for name, value in own.items() if value.dim() >= 4), "")
    kernel = weights.get(name)
    if kernel is None or kernel.dim() < 4 or kernel.shape[1] != _RGB or own[name].shape[1] == _RGB:
        return {}
    channels = own[name].shape[1]
    single = kernel.sum(1, keepdim=True) if channels == 1 else kernel.mean(1, keepdim=True)
    averaged = {name: single.expand(-1, channels, *kernel.shape[2:])}
    if averaged[name].shape == own[name].shape:
        return averaged
    return inflate(averaged, own)
