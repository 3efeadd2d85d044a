"""Video classifiers behind one interface."""

from .recognizer import Recognizer
from .zoo_model import Weights, ZooModel

__all__ = ["Recognizer", "Weights", "ZooModel"]
