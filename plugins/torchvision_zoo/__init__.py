"""The video classifiers of ``torchvision.models.video``, with clips and published weights."""

from . import fast_layers, models, sampling

__all__ = ["fast_layers", "models", "sampling"]
