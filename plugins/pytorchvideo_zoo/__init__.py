"""PyTorchVideo's video classifiers: the hub's models with clips and published weights, and SlowFast's ``PTV*``
models."""

from . import foreign_names, models, sampling, slowfast_models
from .slowfast_keys import FOREIGN_KEYS

__all__ = ["FOREIGN_KEYS", "foreign_names", "models", "sampling", "slowfast_models"]
