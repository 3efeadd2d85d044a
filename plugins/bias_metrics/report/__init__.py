"""This plugin's part of the page: metrics with their headlines, and three sections."""

from . import classes, dynamics, headlines, layers

__all__ = ["classes", "dynamics", "headlines", "layers"]
