"""Conversion of inner modules' outputs to feature maps ``(N, D, t, h, w)``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_Grid = tuple[int, int, int]

#: Tokens that are no position and come before those that are: a class token, or none.
_CLASS_TOKENS = (0, 1)


@dataclass(frozen=True)
class Layout:
    """The layout of an inner module's features.

    Attributes:
        form: ``channels first`` (N, D, t, h, w), ``channels last`` (N, t, h, w, D), ``tokens`` (N, t h w, D), a class
            token before them or not, or ``pathways``: several maps (N, D, t, h, w) of the same height and width.
        grid: t, h, w of what :meth:`read` gives.
        channels: D of it.
    """

    form: str
    grid: _Grid
    channels: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(D, t, h, w)`` of what :meth:`read` gives."""
        return (self.channels, *self.grid)

    def read(self, output: Any) -> Tensor:
        """Convert a module's output to feature maps ``(N, D, t, h, w)``.

        Pathways are joined along their channels. In one that has more frames than ``grid``, those that fall on one
        of its frames become channels; in one that has fewer they are repeated.
        """
        if self.form == "pathways":
            return torch.cat([_in_frames(each, self.grid) for each in output], dim=1)
        tensor = _first_tensor(output)
        assert tensor is not None
        if self.form == "channels first":
            return tensor
        if self.form == "channels last":
            return tensor.movedim(-1, 1)
        return tensor[:, -math.prod(self.grid) :].transpose(1, 2).unflatten(2, self.grid)


def layouts(output: Any, grids: Iterable[_Grid]) -> list[Layout]:
    """The possible layouts of a module's output, likeliest first.

    Tokens come in the order of their positions: frames, then rows, then columns. Their grid is what the module gives
    beside them (MViT), or the only one of ``grids`` that has as many positions.

    Args:
        output: of a forward.
        grids: of maps that other modules gave in the same forward.
    """
    if _is_pathways(output):
        return _joined(output)
    tensor = _first_tensor(output)
    if tensor is None:
        return []
    if tensor.dim() == 5:
        _, a, b, c, d = tensor.shape
        return [Layout("channels first", (b, c, d), a), Layout("channels last", (a, b, c), d)]
    if tensor.dim() != 3:
        return []
    _, tokens, channels = tensor.shape
    own = grid_beside(output)
    found = {grid for grid in ([own] if own else grids) if tokens - math.prod(grid) in _CLASS_TOKENS}
    return [Layout("tokens", grid, channels) for grid in found] if len(found) == 1 else []


def _joined(pathways: Sequence[Tensor]) -> list[Layout]:
    """Layouts of pathways joined along their channels: in as few frames as the slowest pathway has, which takes the
    smallest decoders, or in more."""
    counts = [each.shape[2] for each in pathways]
    found = []
    for frames in sorted({max(counts) // part for part in (1, 2, 4) if max(counts) // part >= min(counts)}):
        if all(count % frames == 0 or frames % count == 0 for count in counts):
            channels = sum(each.shape[1] * max(1, each.shape[2] // frames) for each in pathways)
            found.append(Layout("pathways", (frames, *pathways[0].shape[3:]), channels))
    return found


def _in_frames(maps: Tensor, grid: _Grid) -> Tensor:
    """``(N, D, t, h, w)`` in as many frames as the grid has."""
    if maps.shape[2] <= grid[0]:
        return F.interpolate(maps, size=grid, mode="nearest")
    return maps.unflatten(2, (grid[0], -1)).movedim(3, 2).flatten(1, 2)


def _is_pathways(output: Any) -> bool:
    if not isinstance(output, (list, tuple)) or len(output) < 2:
        return False
    if not all(isinstance(each, Tensor) and each.dim() == 5 for each in output):
        return False
    return len({each.shape[3:] for each in output}) == 1


def _first_tensor(output: Any) -> Tensor | None:
    """The output itself, or what comes first in it: blocks also give their grid, or their attention."""
    if isinstance(output, (list, tuple)) and output:
        maps = sum(isinstance(each, Tensor) and each.dim() == 5 for each in output)
        output = output[0] if maps <= 1 else None  # pathways that do not go together
    return output if isinstance(output, Tensor) else None


def grid_beside(output: Any) -> _Grid | None:
    """``(t, h, w)`` of the tokens that a module gives, where it gives that beside them (MViT); None where not."""
    if not isinstance(output, (list, tuple)) or len(output) != 2:
        return None
    grid = output[1]
    if isinstance(grid, Sequence) and len(grid) == 3 and all(isinstance(size, int) for size in grid):
        return (grid[0], grid[1], grid[2])
    return None
