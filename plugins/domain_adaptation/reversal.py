"""The schedule of gradient reversal."""

from __future__ import annotations

import math


def reversal_strength(share: float, gamma: float) -> float:
    """``lambda_p = 2 / (1 + exp(-gamma p)) - 1`` for the share p of the training that is over, in [0, 1] (Ganin et al.
    2016, sec. 5.2.2): from 0 towards 1."""
    return 2 / (1 + math.exp(-gamma * share)) - 1
