"""Checkpoints: fetching, verifying, reading, loading with a report, exporting."""

from .fetching import fetch, find_weights
from .loading import LoadReport, load_module_weights, load_weights
from .matching import Match, count_head_classes, equally_good, match, match_catalogue
from .reading import peek_checkpoint, read_checkpoint
from .saving import atomic_save, extra_heads_state, load_extra_heads, model_state, save_safetensors, save_weights
from .weight_sets import model_weights, weight_sets

__all__ = [
    "LoadReport",
    "Match",
    "atomic_save",
    "count_head_classes",
    "equally_good",
    "extra_heads_state",
    "fetch",
    "find_weights",
    "load_extra_heads",
    "load_module_weights",
    "load_weights",
    "match",
    "match_catalogue",
    "model_state",
    "model_weights",
    "peek_checkpoint",
    "read_checkpoint",
    "save_safetensors",
    "save_weights",
    "weight_sets",
]
