"""Training: objectives with phases, the trainer and its hooks, checkpoints, several processes."""

from .checkpoint import newest_checkpoint
from .cross_entropy import CrossEntropy, classification
from .hooks import Hook
from .launch import launch
from .objective import Objective, Phase, Step
from .trainer import Trainer
from .training import TrainSummary, train

__all__ = [
    "CrossEntropy",
    "Hook",
    "Objective",
    "Phase",
    "Step",
    "TrainSummary",
    "Trainer",
    "classification",
    "launch",
    "newest_checkpoint",
    "train",
]
