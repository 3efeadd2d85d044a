"""Transfer: protocols on features of frozen networks."""

from . import metrics

__all__ = ["metrics"]
