"""Faster or more exact implementations of torch's layers, with the same results and the same keys."""

from .concatenate import concatenate
from .explicit_padding import ExplicitPadding
from .fast_forward import is_fast
from .fast_layers import FastLayer, describe_fast_layers, differentiable_twice, use_fast_layers
from .frozen_features import FrozenFeatures, repeat_frame
from .layer_norm import layer_norm
from .max_pool import max_pool
from .normalize import FUSED_ACTIVATIONS, has_no_hooks, normalize
from .precision import computed_dtype
from .stem import convolve_frames

__all__ = [
    "FUSED_ACTIVATIONS",
    "ExplicitPadding",
    "FastLayer",
    "FrozenFeatures",
    "computed_dtype",
    "concatenate",
    "convolve_frames",
    "describe_fast_layers",
    "differentiable_twice",
    "has_no_hooks",
    "is_fast",
    "layer_norm",
    "max_pool",
    "normalize",
    "repeat_frame",
    "use_fast_layers",
]
