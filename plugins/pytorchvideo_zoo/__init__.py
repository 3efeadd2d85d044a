"""PyTorchVideo's video classifiers: those of its hub under their names, with clips and published weights, and those
that SlowFast's configurations describe."""

from . import foreign_names, models, sampling, slowfast_models
from .slowfast_keys import FOREIGN_KEYS

__all__ = ["FOREIGN_KEYS", "foreign_names", "models", "sampling", "slowfast_models"]
