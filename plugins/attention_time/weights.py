"""Attention weights of an attention module's call, which many modules never make.

The module is called once more for the same input, under a mode that sees its softmax, or its call of
``scaled_dot_product_attention``, whose weights are then made of the very queries, keys, mask and scale that it was
given: relative positions, masks and windows are in them, whatever the module adds.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pvbias.errors import ConfigError
from pvbias.models.layer_features import LayerCall

_SOFTMAX = (torch.softmax, torch.Tensor.softmax, F.softmax)
_FUSED = F.scaled_dot_product_attention


def attention_weights(call: LayerCall) -> Iterator[Tensor]:
    """The weights of a call of an attention module, ``(b, H, Lq, Lk)``, rows sum to 1; all together, or where the
    module fuses softmax and product, a member of the mini-batch at a time.

    Raises:
        ConfigError: the module made no attention, or more than one.
    """
    with _Seeing() as seen:
        call.again()
    if len(seen.found) != 1:
        raise ConfigError(
            f"{call.name!r} ({type(call.module).__name__}) computes {len(seen.found)} softmaxes over keys, and one is "
            "what an attention module has: its weights cannot be looked at."
        )
    (found,) = seen.found
    if isinstance(found, Tensor):
        yield found
    else:
        yield from _of_fused(*found)


def _of_fused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Weights of a call of ``scaled_dot_product_attention``, one member of the mini-batch after another."""
    given = _SIGNATURE.bind(*args, **kwargs)
    given.apply_defaults()
    query, key, mask = (given.arguments[name] for name in ("query", "key", "attn_mask"))
    scale = given.arguments["scale"] or 1 / math.sqrt(query.shape[-1])
    if given.arguments["is_causal"]:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    for number in range(len(query)):
        scores = scale * (query[number : number + 1].float() @ key[number : number + 1].float().transpose(-2, -1))
        if mask is not None:
            own = mask[number : number + 1] if mask.dim() == 4 and len(mask) > 1 else mask
            scores = scores.masked_fill(~own, -math.inf) if own.dtype == torch.bool else scores + own
        yield scores.softmax(-1)


#: Built-in functions have no signature of their own.
_SIGNATURE = inspect.signature(
    lambda query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False: None
)


class _Seeing(TorchFunctionMode):
    """Context that keeps the softmaxes over keys, ``(b, H, Lq, Lk)``, and the arguments of fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor | tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in _SOFTMAX and result.dim() == 4:
            self.found.append(result)
        elif func is _FUSED:
            self.found.append((args, kwargs))
        return result
