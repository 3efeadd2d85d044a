"""Seeding, saving and restoring all random generators of a process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(*numbers: int) -> None:
    """Seed torch's, numpy's and Python's generators from these numbers (each >= 0) alone."""
    # SeedSequence mixes them, so that neighbouring epochs and processes have nothing in common.
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def generator_states() -> dict[str, Any]:
    """The states of torch's (of the CPU and of this process's GPU), numpy's and Python's generators, in tensors and
    plain numbers."""
    version, words, gauss = random.getstate()
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)  # type: ignore[assignment]
    states = {
        "torch": torch.get_rng_state(),
        # uint32 words as int64: torch can do little with the former
        "numpy": numpy_state | {"state": {**numpy_state["state"], "key": _words(numpy_state["state"]["key"])}},
        "python": [version, _words(words), gauss],
    }
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Any]) -> None:
    """Restore the states that :func:`generator_states` returned."""
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    numpy_state = states["numpy"]
    key = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy_state | {"state": numpy_state["state"] | {"key": key}})
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))


@contextmanager
def generators_kept() -> Iterator[None]:
    """Context that leaves all generators as it has found them, whatever is drawn or seeded inside."""
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)


@contextmanager
def draws_apart(device: torch.device) -> Iterator[None]:
    """Context of forwards of other networks than the recognizer: their dropout takes nothing from the random numbers
    that the recognizer would get without them."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _words(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.int64))
