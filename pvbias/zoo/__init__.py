"""Checkpoints: fetching, verifying, loading with a report, exporting."""

from .fetching import fetch
from .loading import LoadReport, load_module_weights, load_weights, model_weights, read_checkpoint
from .saving import atomic_save, model_state, save_weights

__all__ = [
    "LoadReport",
    "atomic_save",
    "fetch",
    "load_module_weights",
    "load_weights",
    "model_state",
    "model_weights",
    "read_checkpoint",
    "save_weights",
]
