"""This plugin's part of the page: metrics with their headlines, and three sections."""

from . import classes, dynamics, layers, metrics

__all__ = ["classes", "dynamics", "layers", "metrics"]
