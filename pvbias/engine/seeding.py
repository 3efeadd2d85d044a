"""One place for all random generators of a process."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(*numbers: int) -> None:
    """Restart torch's, numpy's and Python's generators from a state that depends on these numbers (each >= 0) alone."""
    # SeedSequence mixes them, so that neighbouring epochs and processes have nothing in common.
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
