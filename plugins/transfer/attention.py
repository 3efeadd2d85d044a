"""The cross-attention block of an attentive probe."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentivePooler(nn.Module):
    """One cross-attention block with one learnt query, as V-JEPA's ``AttentivePooler`` of depth 1 (Bardes et al. 2024).

    ::

        tokens (N, T, D) -> LayerNorm -> keys, values
        query       q    -> + attention(q, keys, values) -> + MLP(LayerNorm) -> (N, D)

    Args:
        dims: D.
        heads: of the attention; they divide D.
    """

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, dims))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.norm_of_tokens = nn.LayerNorm(dims)
        self.attention = nn.MultiheadAttention(dims, heads, batch_first=True)
        self.norm = nn.LayerNorm(dims)
        self.mlp = nn.Sequential(nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims))

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, T, D) -> (N, D)``."""
        query = self.query.expand(len(tokens), -1, -1)
        keys = self.norm_of_tokens(tokens)
        query = query + self.attention(query, keys, keys, need_weights=False)[0]
        query = query + self.mlp(self.norm(query))
        return query[:, 0]
