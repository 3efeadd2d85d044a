"""Clips with their temporal information changed or removed, for measuring how much a model uses it.

A modulation is a pure function ``(clips (N, C, T, H, W), seeds (N,)) -> clips (N, C, T, H, W)`` of any dtype.
Whatever is random in it is a function of the clip's own seed, so a clip's variant is the same in every batch, order
and process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..registries import MODULATION

Modulation = Callable[[Tensor, Sequence[int]], Tensor]

#: The name under which the unmodulated clip goes.
ORIGINAL = "original"


@MODULATION.register(name=ORIGINAL)
def original(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """The clips as they are."""
    return clips


@MODULATION.register(name="reverse")
def reverse(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """The frames of each clip in reversed order."""
    return clips.flip(2)


@MODULATION.register(name="shuffle")
def shuffle(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """The frames of each clip in an order of its own, drawn uniformly from all but the identity (T > 1)."""
    num_frames = clips.shape[2]
    orders = torch.stack([shuffled_order(num_frames, seed) for seed in seeds])
    return gather_frames(clips, orders)


@MODULATION.register(name="freeze_first")
def freeze_first(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each clip's first frame, repeated."""
    return _freeze(clips, [0] * len(seeds))


@MODULATION.register(name="freeze_middle")
def freeze_middle(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each clip's middle frame (``T // 2``), repeated."""
    return _freeze(clips, [clips.shape[2] // 2] * len(seeds))


@MODULATION.register(name="freeze_random")
def freeze_random(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """One frame of each clip, drawn uniformly, repeated."""
    return _freeze(clips, [int(torch.randint(clips.shape[2], (), generator=_generator(seed))) for seed in seeds])


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


def _freeze(clips: Tensor, frames: Sequence[int]) -> Tensor:
    indices = torch.tensor(frames)[:, None].expand(-1, clips.shape[2])
    return gather_frames(clips, indices)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
