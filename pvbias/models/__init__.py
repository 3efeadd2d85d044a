"""Video classifiers behind one interface."""

from .build import build_recognizer, freeze_parameters
from .recognizer import Recognizer
from .zoo_model import Weights, ZooModel

__all__ = ["Recognizer", "Weights", "ZooModel", "build_recognizer", "freeze_parameters"]
