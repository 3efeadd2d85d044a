"""Windows that slide over activations in channels_last_3d, of convolution or pooling: launches of their kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .launch import Launch

#: Channels of a program.
_BLOCK_CHANNELS = 64

#: Sizes that the kernels take, in this order, the channels last. They are not to be compiled anew for each that is 1 or
#: a multiple of 16: what alignment there is, VECTOR says.
SIZES = ("frames", "height", "width", "out_frames", "out_height", "out_width")

_CONSTANTS = ("KT", "KH", "KW", "ST", "SH", "SW", "PT", "PH", "PW")


def output_sizes(
    sizes: Sequence[int], kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> list[int]:
    """Frames, height and width behind a convolution or pooling."""
    dimensions = zip(sizes, kernel_size, stride, padding, strict=True)
    return [(size + 2 * pad - extent) // step + 1 for size, extent, step, pad in dimensions]


class Windows:
    """Windows over activations of one shape; makes the launches of kernels whose programs have a part of a row each.

    Args:
        shape: of the activations, ``(N, C, T, H, W)``.
        kernel_size, stride, padding: frames, height, width.

    Attributes:
        output_shape: of the results, ``(N, C, T', H', W')``.
        channel_blocks: programs for the channels of a position.
    """

    def __init__(
        self, shape: Sequence[int], kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
    ) -> None:
        batch, channels, *sizes = shape
        outside = output_sizes(sizes, kernel_size, stride, padding)
        self.output_shape = (batch, channels, *outside)
        self.channel_blocks = -(-channels // _BLOCK_CHANNELS)
        self._sizes = (*sizes, *outside)
        # Channels that can be read at once, wherever a position begins.
        self._vector = math.gcd(channels, 8)
        self._channel_vectors = channels // self._vector
        self._constants = dict(zip(_CONSTANTS, (*kernel_size, *stride, *padding), strict=True))

    def launch(
        self,
        kernel: Any,
        over: Sequence[int],
        *further: int,
        grid: tuple[int, int, int] | None = None,
        **constants: Any,
    ) -> Launch:
        """The launch of a kernel.

        Args:
            kernel: that takes :data:`SIZES`, then ``further``, then ``channel_vectors``.
            over: shape of the activations whose rows are divided.
            further: sizes of the kernel's own.
            grid: numbers of programs; None: of the rows, the parts of a row, the blocks of channels.
            constants: of the kernel's own.
        """
        batch, _, frames, height, width = over
        block = min(32, max(4, 1 << (width - 1).bit_length()))
        return Launch(
            kernel,
            grid or (batch * frames * height, -(-width // block), self.channel_blocks),
            (*self._sizes, *further, self._channel_vectors),
            {
                **self._constants,
                **constants,
                "VECTOR": self._vector,
                "BLOCK_WIDTH": block,
                "BLOCK_CHANNELS": _BLOCK_CHANNELS,
            },
            warps=max(1, block // 8),  # each thread has 16 values, in long rows
        )
