"""Attribution: class activation maps (Grad-CAM) and temporal activation maps of a recognizer's predictions."""

from .grad_cam import class_activation
from .temporal_activation import TemporalActivation

__all__ = ["TemporalActivation", "class_activation"]
