"""The video classifiers of ``pytorchvideo.models.hub`` under their hub names, with clips and published weights."""

from . import models

__all__ = ["models"]
