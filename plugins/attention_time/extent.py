"""How far attention reaches in time: the mean temporal distance of what is attended to, for each head."""

from __future__ import annotations

import torch
from torch import Tensor

from pvbias.models.layer_features import LayerCall
from pvbias.registries import FEATURE
from pvbias.transfers import to_device

from .layouts import moments
from .weights import attention_weights

#: Weights below are of keys that a query cannot see: masks add -100 to the scores, which makes e^-100 of 1.
_UNSEEN = 1e-30


def mean_distances(weights: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """Mean temporal distance of attention, ``(b, H, 2)`` in frames: of the weights, and of uniform ones over the keys
    that a query sees.

    ::

        d(query) = sum over keys k that are positions of a_k |t_k - t| / sum of their a_k;   mean over queries

    Uniform attention over all of T moments that are F frames apart has ``F (T^2 - 1) / (3 T)``.

    Args:
        weights: ``(b, H, Lq, Lk)``.
        queries, keys: moments, ``(b, Lq)`` and ``(b, Lk)``; NaN where a token is no position.
    """
    positions, own = ~keys.isnan(), ~queries.isnan()
    distances = (queries.nan_to_num()[:, :, None] - keys.nan_to_num()[:, None, :]).abs()[:, None]  # (b, 1, Lq, Lk)
    seen = weights * positions[:, None, None]
    found = []
    for of_positions in (seen, (seen > _UNSEEN).to(weights.dtype)):
        of_queries = (of_positions * distances).sum(-1) / of_positions.sum(-1).clamp_min(_UNSEEN)  # (b, H, Lq)
        found.append((of_queries * own[:, None]).sum(-1) / own.sum(-1)[:, None].clamp_min(1))
    return torch.stack(found, -1)


@FEATURE.register()
def attention_extent(call: LayerCall) -> Tensor:
    """Mean temporal distance of each head's attention, and that of uniform attention: ``(N, H, 2)``, frames of the
    clip; means over queries that are positions, windows and places."""
    times = moments(call)
    parts = len(times.queries)
    queries, keys = (to_device(each.contiguous(), call.args[0].device) for each in (times.queries, times.keys))
    shares = (~times.queries.isnan()).sum(1).float()  # of windows with padding, by the queries that they have
    found, place = [], 0
    for weights in attention_weights(call):
        which = torch.arange(place, place + len(weights), device=weights.device) % parts
        found.append(mean_distances(weights.float(), queries[which], keys[which]))
        place += len(weights)
    by_part = torch.cat(found).unflatten(0, (-1, parts))  # (N, G, H, 2)
    of_parts = to_device(shares / shares.sum(), by_part.device)
    return (by_part * of_parts[:, None, None]).sum(1)
