"""Which frames and places a recognizer's prediction rests on: class activation and temporal activation maps."""

from .grad_cam import class_activation
from .temporal_activation import TemporalActivation

__all__ = ["TemporalActivation", "class_activation"]
