"""Faster forwards of torchvision's layers on GPUs: residual blocks of its video ResNets, MViT's attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video.mvit import MultiscaleAttention, _add_rel_pos
from torchvision.models.video.resnet import BasicBlock, Bottleneck

from pvbias.layers import FastLayer, computed_dtype, has_no_hooks, normalize
from pvbias.registries import FAST_LAYER


def forward_residual(block: BasicBlock | Bottleneck, x: Tensor) -> Tensor:
    """A residual block whose last BatchNorm adds the shortcut and applies the activation."""
    last = block.conv3 if isinstance(block, Bottleneck) else block.conv2
    *before, norm = last
    if not has_no_hooks(last):
        return type(block).forward(block, x)
    features = block.conv1(x)
    if isinstance(block, Bottleneck):
        features = block.conv2(features)
    for layer in before:
        features = layer(features)
    shortcut = x if block.downsample is None else block.downsample(x)
    return normalize(norm, features, activation=block.relu, residual=shortcut)


def is_residual(module: nn.Module) -> bool:
    """Whether a module is a residual block that ends with a sequence with a BatchNorm3d at its end."""
    if type(module) not in (BasicBlock, Bottleneck):
        return False
    last = module.conv3 if isinstance(module, Bottleneck) else module.conv2
    return type(last) is nn.Sequential and len(last) > 1 and isinstance(last[-1], nn.BatchNorm3d)


def forward_attention(
    attention: MultiscaleAttention, x: Tensor, thw: tuple[int, int, int]
) -> tuple[Tensor, tuple[int, int, int]]:
    """Attention without the matrix of all pairs in memory, but for relative positions, which are one."""
    batch, tokens, _ = x.shape
    split = attention.qkv(x).reshape(batch, tokens, 3, attention.num_heads, attention.head_dim)
    q, k, v = split.transpose(1, 3).unbind(dim=2)
    k, k_thw = (k, thw) if attention.pool_k is None else attention.pool_k(k, thw)
    v = v if attention.pool_v is None else attention.pool_v(v, thw)[0]
    q, q_thw = (q, thw) if attention.pool_q is None else attention.pool_q(q, thw)
    dtype = computed_dtype(q)
    bias = None
    if attention.rel_pos_h is not None:
        empty = q.new_zeros(*q.shape[:3], k.shape[2], dtype=dtype)
        positions = (attention.rel_pos_h, attention.rel_pos_w, attention.rel_pos_t)
        bias = _add_rel_pos(empty, q, q_thw, k_thw, *positions)
    mixed = F.scaled_dot_product_attention(
        q.to(dtype), k.to(dtype), v.to(dtype), attn_mask=bias, scale=attention.scaler
    )
    if attention.residual_pool:
        if attention.residual_with_cls_embed:
            mixed = mixed + q
        else:
            mixed = torch.cat((mixed[:, :, :1], mixed[:, :, 1:] + q[:, :, 1:]), dim=2)
    return attention.project(mixed.transpose(1, 2).reshape(batch, -1, attention.output_dim)), q_thw


FAST_LAYER.register(
    FastLayer(
        applies=is_residual,
        forward=forward_residual,
        description="torchvision's residual blocks, shortcut and activation in the last BatchNorm's pass",
    ),
    name="torchvision_residual",
)
FAST_LAYER.register(
    FastLayer(
        applies=lambda module: type(module) is MultiscaleAttention,
        forward=forward_attention,
        description="torchvision's MViT attention, flash attention where there are no relative positions",
    ),
    name="torchvision_attention",
)
