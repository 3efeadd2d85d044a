"""Spatial students: an image classifier on each frame, its probabilities averaged over frames."""

from .student import SpatialStudent, TorchvisionStudent

__all__ = ["SpatialStudent", "TorchvisionStudent"]
