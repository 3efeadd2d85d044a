"""Data sets by name: from the official files of UCF101, Kinetics, Something-Something and others to lists."""

from . import sampling

__all__ = ["sampling"]
