"""PyTorchVideo's video classifiers: the hub's models with clips and published weights, and SlowFast's ``PTV*``
models."""

from . import fast_layers, foreign_names, models, sampling, slowfast_models
from .slowfast_keys import FOREIGN_KEYS

__all__ = ["FOREIGN_KEYS", "fast_layers", "foreign_names", "models", "sampling", "slowfast_models"]
