"""Faster forwards of PyTorchVideo's layers on GPUs: residual blocks, Swish, MViT's attention."""

from __future__ import annotations

import torch
from pytorchvideo.layers.attention import MultiScaleAttention, MultiScaleBlock
from pytorchvideo.layers.convolutions import Conv2plus1d
from pytorchvideo.layers.swish import Swish
from pytorchvideo.models.resnet import BottleneckBlock, ResBlock
from pytorchvideo.models.stem import ResNetBasicStem
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.layers import (
    FUSED_ACTIVATIONS,
    FastLayer,
    computed_dtype,
    has_no_hooks,
    is_fast,
    layer_norm,
    normalize,
)
from pvbias.registries import FAST_LAYER

FUSED_ACTIVATIONS[Swish] = "silu"


def forward_stem(stem: ResNetBasicStem, x: Tensor) -> Tensor:
    """Convolution, normalisation with activation, pooling."""
    x = _normalize(stem.norm, stem.activation, stem.conv(x))
    return x if stem.pool is None else stem.pool(x)


def forward_bottleneck(block: BottleneckBlock, x: Tensor) -> Tensor:
    """Three convolutions, each normalised, the first two activated."""
    return _normalize(block.norm_c, None, _before_last_norm(block, x))


def _before_last_norm(block: BottleneckBlock, x: Tensor) -> Tensor:
    x = _normalize(block.norm_a, block.act_a, block.conv_a(x))
    x = _normalize(block.norm_b, block.act_b, block.conv_b(x))
    return block.conv_c(x)


def forward_residual(block: ResBlock, x: Tensor) -> Tensor:
    """A bottleneck whose last normalisation adds the shortcut and applies the activation."""
    branch = block.branch2
    if type(branch) is not BottleneckBlock or branch.norm_c is None or not is_fast(branch) or not has_no_hooks(branch):
        return ResBlock.forward(block, x)
    shortcut = x
    if block.branch1_conv is not None:
        shortcut = _normalize(block.branch1_norm, None, block.branch1_conv(x))
    return normalize(branch.norm_c, _before_last_norm(branch, x), activation=block.activation, residual=shortcut)


def forward_factorised(conv: Conv2plus1d, x: Tensor) -> Tensor:
    """Spatial and temporal convolution, in its order, a normalisation with activation between them."""
    first, second = (conv.conv_xy, conv.conv_t) if conv.conv_xy_first else (conv.conv_t, conv.conv_xy)
    return second(_normalize(conv.norm, conv.activation, first(x)))


def _normalize(norm: nn.Module | None, activation: nn.Module | None, x: Tensor) -> Tensor:
    """Normalise and activate; X3D's normalisation is a BatchNorm and what comes behind it, squeeze and excitation."""
    if norm is None:
        return x if activation is None else activation(x)
    if type(norm) is nn.Sequential and len(norm) == 2 and type(norm[1]) is nn.Identity and has_no_hooks(norm, norm[1]):
        norm = norm[0]
    return normalize(norm, x, activation=activation)


def adds(block: nn.Module) -> bool:
    """Whether a residual block's fusion of its branches is their sum."""
    if type(block) is not ResBlock or isinstance(block.branch_fusion, nn.Module):
        return False
    left, right = torch.tensor([1.0, 2.0, -3.0]), torch.tensor([5.0, -7.0, 11.0])
    try:
        return torch.equal(block.branch_fusion(left, right), left + right)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError):  # a fusion of something else
        return False


def forward_swish(swish: Swish, x: Tensor) -> Tensor:
    """x * sigmoid(x), in one kernel for each direction."""
    return F.silu(x)


def forward_attention(attention: MultiScaleAttention, x: Tensor, thw_shape: list[int]) -> tuple[Tensor, list[int]]:
    """Attention without the matrix of all pairs in memory; tokens ``(B, N, C)``, of a grid ``thw_shape``."""
    batch, tokens, channels = x.shape
    dtype = computed_dtype(x)
    x = x.to(dtype)  # once for all three projections
    if attention.pool_first:
        heads = attention.num_heads
        split = x.reshape(batch, tokens, heads, channels // heads).transpose(1, 2)
        q, q_shape, k, k_shape, v, v_shape = attention._qkv_pool(split, split, split, thw_shape)
        q_length, k_length, v_length = attention._get_qkv_length(q_shape, k_shape, v_shape)
        q, k, v = attention._reshape_qkv_to_seq(q, k, v, q_length, v_length, k_length, batch, channels)
        q, k, v = attention._qkv_proj(q, q_length, k, k_length, v, v_length, batch, channels)
    else:
        q, k, v = attention._qkv_proj(x, tokens, x, tokens, x, tokens, batch, channels)
        q, q_shape = _pool(q, attention.pool_q, getattr(attention, "norm_q", None), thw_shape, attention.has_cls_embed)
        k, _ = _pool(k, attention.pool_k, getattr(attention, "norm_k", None), thw_shape, attention.has_cls_embed)
        v, _ = _pool(v, attention.pool_v, getattr(attention, "norm_v", None), thw_shape, attention.has_cls_embed)
    # LayerNorm gives fp32 under autocast.
    mixed = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype), scale=attention.scale)
    mixed = attention.proj(mixed.transpose(1, 2).reshape(batch, -1, channels))
    return (attention.proj_drop(mixed) if attention.dropout_rate > 0 else mixed), q_shape


def forward_block(block: MultiScaleBlock, x: Tensor, thw_shape: list[int]) -> tuple[Tensor, list[int]]:
    """A block of MViT: attention and MLP, each after a LayerNorm, with their shortcuts; tokens ``(B, N, C)``."""
    dtype = computed_dtype(x)
    mixed, shape = block.attn(_layer_norm(block.norm1, x, dtype), thw_shape)
    if not _is_identity(block.pool_skip):
        x = _pool(x.unsqueeze(1), block.pool_skip, None, thw_shape, block.has_cls_embed)[0].squeeze(1)
    x = x + block.drop_path(mixed)
    normal = _layer_norm(block.norm2, x, dtype)
    mixed = block.mlp(normal)
    if block.dim != block.dim_out:
        x = block.proj(normal)
    return x + block.drop_path(mixed), shape


def _layer_norm(norm: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(norm, nn.LayerNorm) and has_no_hooks(norm):
        return layer_norm(norm, x, dtype)
    return norm(x).to(dtype)


def _is_identity(pool: nn.Module | None) -> bool:
    """Whether a pooling's windows are single positions, and nobody looks at it."""
    if pool is None:
        return True
    return (
        isinstance(pool, nn.MaxPool3d)
        and has_no_hooks(pool)
        and all(size in (1, (1, 1, 1), [1, 1, 1]) for size in (pool.kernel_size, pool.stride))
    )


def _pool(
    tokens: Tensor, pool: nn.Module | None, norm: nn.Module | None, thw_shape: list[int], has_cls_embed: bool
) -> tuple[Tensor, list[int]]:
    """Pool the tokens of a grid, ``(B, heads, N, C)``, and normalise them; a class token goes past the pooling."""
    if pool is None:
        return tokens, thw_shape
    first, grid = (tokens[:, :, :1], tokens[:, :, 1:]) if has_cls_embed else (None, tokens)
    batch, heads, _, channels = grid.shape
    # Dense, which the class token's place may leave it not.
    dense = grid.reshape(batch * heads, *thw_shape, channels).contiguous()
    pooled = pool(dense.permute(0, 4, 1, 2, 3))
    shape = list(pooled.shape[2:])
    grid = pooled.permute(0, 2, 3, 4, 1).reshape(batch, heads, -1, channels)
    if first is not None:
        grid = torch.cat((first, grid), dim=2)
    return (grid if norm is None else _layer_norm(norm, grid, computed_dtype(grid))), shape


for _name, _type, _forward, _description in (
    ("ptv_stem", ResNetBasicStem, forward_stem, "PyTorchVideo's stems, BatchNorm and activation in one pass"),
    (
        "ptv_bottleneck",
        BottleneckBlock,
        forward_bottleneck,
        "PyTorchVideo's bottlenecks, BatchNorm and activation in one pass",
    ),
    (
        "ptv_conv2plus1d",
        Conv2plus1d,
        forward_factorised,
        "PyTorchVideo's (2+1)D convolutions, BatchNorm and activation in one pass",
    ),
    ("ptv_swish", Swish, forward_swish, "PyTorchVideo's Swish, one kernel for each direction"),
    (
        "ptv_block",
        MultiScaleBlock,
        forward_block,
        "PyTorchVideo's MViT blocks, LayerNorm in the precision that follows",
    ),
    ("ptv_attention", MultiScaleAttention, forward_attention, "PyTorchVideo's MViT attention, flash attention"),
):
    FAST_LAYER.register(
        FastLayer(
            applies=lambda module, kind=_type: type(module) is kind,  # type: ignore[misc]
            forward=_forward,
            description=_description,
        ),
        name=_name,
    )
FAST_LAYER.register(
    FastLayer(
        applies=adds,
        forward=forward_residual,
        description="PyTorchVideo's residual blocks, shortcut and activation in the last BatchNorm's pass",
    ),
    name="ptv_residual",
)
