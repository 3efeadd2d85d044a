"""How kernels of windows (convolution, pooling) divide activations in channels_last_3d: by rows of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Channels of a program.
BLOCK_CHANNELS = 64

_NAMES = ("KT", "KH", "KW", "ST", "SH", "SW", "PT", "PH", "PW")


def geometry(kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> dict[str, int]:
    """The kernels' constants for a window: frames, height, width of each."""
    return dict(zip(_NAMES, (*kernel_size, *stride, *padding), strict=True))


def output_sizes(
    sizes: Sequence[int], kernel_size: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> list[int]:
    """Frames, height and width behind a convolution or pooling."""
    dimensions = zip(sizes, kernel_size, stride, padding, strict=True)
    return [(size + 2 * pad - extent) // step + 1 for size, extent, step, pad in dimensions]


def vector(channels: int) -> int:
    """Channels that can be read at once, wherever a position begins."""
    return math.gcd(channels, 8)


def row_blocks(width: int) -> dict[str, int]:
    """Positions of a row, and channels, of a program."""
    return {"BLOCK_WIDTH": min(32, max(4, 1 << (width - 1).bit_length())), "BLOCK_CHANNELS": BLOCK_CHANNELS}


def row_warps(width: int) -> int:
    """Warps of a program: each thread has 16 values, in long rows."""
    return max(1, row_blocks(width)["BLOCK_WIDTH"] // 8)


def row_grid(shape: Sequence[int]) -> tuple[int, int, int]:
    """Programs for activations ``(N, C, T, H, W)``: rows, parts of a row, blocks of channels."""
    batch, channels, frames, height, width = shape
    return batch * frames * height, -(-width // row_blocks(width)["BLOCK_WIDTH"]), -(-channels // BLOCK_CHANNELS)
