"""The video classifiers of ``torchvision.models.video``, with clips and published weights."""

from . import models, sampling

__all__ = ["models", "sampling"]
