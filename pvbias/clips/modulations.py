"""Clips with their temporal information changed or removed, for measuring how much a model uses it.

A modulation is a pure function ``(clips (N, C, T, H, W), seeds (N,)) -> clips (N, C, T, H, W)`` of any dtype.
Whatever is random in it is a function of the clip's own seed, so a clip's variant is the same in every batch, order
and process.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..registries import MODULATION

Modulation = Callable[[Tensor, Sequence[int]], Tensor]

#: The name under which the unmodulated clip goes.
ORIGINAL = "original"


class Rearrangement:
    """A modulation that only rearranges frames; decorates ``(T, seed) -> (T,)``, the frames of one clip in their new
    order.

    The evaluation needs to know: what a model makes of each frame by itself is then the same in all variants. Pickled
    by name, like a function.
    """

    def __init__(self, order: Callable[[int, int], Tensor]) -> None:
        functools.update_wrapper(self, order)
        self._order = order

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """The clips rearranged; those given where that changes nothing."""
        frames = self.frames(clips.shape[2], seeds)
        if torch.equal(frames, torch.arange(clips.shape[2]).expand_as(frames)):
            return clips
        return gather_frames(clips, frames)

    def frames(self, num_frames: int, seeds: Sequence[int]) -> Tensor:
        """Which frame comes where in each clip: int64 ``(N, T)`` in [0, T), on the CPU."""
        return torch.stack([self._order(num_frames, seed) for seed in seeds])

    def __reduce__(self) -> str:
        return self._order.__qualname__


@MODULATION.register(name=ORIGINAL)
@Rearrangement
def original(num_frames: int, seed: int) -> Tensor:
    """The clips as they are."""
    return torch.arange(num_frames)


@MODULATION.register(name="reverse")
@Rearrangement
def reverse(num_frames: int, seed: int) -> Tensor:
    """The frames of each clip in reversed order."""
    return torch.arange(num_frames).flip(0)


@MODULATION.register(name="shuffle")
@Rearrangement
def shuffle(num_frames: int, seed: int) -> Tensor:
    """The frames of each clip in an order of its own, drawn uniformly from all but the identity (T > 1)."""
    return shuffled_order(num_frames, seed)


@MODULATION.register(name="freeze_first")
@Rearrangement
def freeze_first(num_frames: int, seed: int) -> Tensor:
    """Each clip's first frame, repeated."""
    return torch.zeros(num_frames, dtype=torch.int64)


@MODULATION.register(name="freeze_middle")
@Rearrangement
def freeze_middle(num_frames: int, seed: int) -> Tensor:
    """Each clip's middle frame (``T // 2``), repeated."""
    return torch.full((num_frames,), num_frames // 2)


@MODULATION.register(name="freeze_random")
@Rearrangement
def freeze_random(num_frames: int, seed: int) -> Tensor:
    """One frame of each clip, drawn uniformly, repeated."""
    return torch.randint(num_frames, (), generator=_generator(seed)).expand(num_frames)


def view_seeds(rng_seed: int, name: str, num_views: int, *, purpose: str = "") -> list[int]:
    """The seed of each view's modulations, in [0, 2**63): a function of these arguments alone, so that a view's
    variants are the same in every batch, order, process and worker.

    Args:
        rng_seed: ``RNG_SEED``.
        name: the video's name as its annotation writes it.
        num_views: V.
        purpose: a word that does not begin with a digit; seeds for one purpose have nothing to do with those for
            another. Empty: the variants that evaluators compare.
    """

    def seed(view: int) -> int:
        # surrogatepass: a file name need not be valid text
        digest = hashlib.sha256(f"{purpose}{rng_seed}/{view}/{name}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    return [seed(view) for view in range(num_views)]


def shuffled_order(num_frames: int, seed: int) -> Tensor:
    """A permutation ``(T,)`` of the frames, uniform over all but the identity; the identity only when T is 1.

    A draw that gives the identity is drawn again, which leaves the others equally likely.
    """
    generator = _generator(seed)
    identity = torch.arange(num_frames)
    order = torch.randperm(num_frames, generator=generator)
    while num_frames > 1 and torch.equal(order, identity):
        order = torch.randperm(num_frames, generator=generator)
    return order


def gather_frames(clips: Tensor, indices: Tensor) -> Tensor:
    """Clip n's frames ``indices[n]``: ``(N, C, T, H, W), (N, S) -> (N, C, S, H, W)``, memory format kept."""
    rows = torch.arange(len(clips), device=clips.device)[:, None]
    frames = clips.permute(0, 2, 3, 4, 1)[rows, indices.to(clips.device)]  # (N, S, H, W, C), rows copied whole
    gathered = frames.permute(0, 4, 1, 2, 3)
    return gathered.contiguous() if clips.is_contiguous() else gathered


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
