"""Video classifiers behind one interface, the Recognizer."""

from .build import build_recognizer, find_model, freeze_parameters
from .evaluation_mode import evaluation_mode
from .outputs import EMBEDDING, Outputs
from .recognizer import Recognizer
from .shapes import build_shapes
from .student import Student, build_student, embedding_width
from .zoo_model import ModelFamily, Weights, ZooModel

__all__ = [
    "EMBEDDING",
    "ModelFamily",
    "Outputs",
    "Recognizer",
    "Student",
    "Weights",
    "ZooModel",
    "build_recognizer",
    "build_shapes",
    "build_student",
    "embedding_width",
    "evaluation_mode",
    "find_model",
    "freeze_parameters",
]
