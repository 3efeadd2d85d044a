"""Training: objectives with phases, the trainer and its hooks, checkpoints, several processes."""

from .attribute_heads import AttributeHeads
from .checkpoint import newest_checkpoint, refuse_another_configuration, refuse_another_training
from .classification import classification
from .composition import build_objective
from .cross_entropy import CrossEntropy
from .gradient_reversal import reverse_gradient
from .hook import Hook
from .identity import identify, otherwise_trained
from .launch import launch
from .objective import Objective, Phase, Step
from .state import TrainState
from .trainer import Trainer
from .training import TrainSummary, train
from .transform import MiniBatch, Transform

__all__ = [
    "AttributeHeads",
    "CrossEntropy",
    "Hook",
    "MiniBatch",
    "Objective",
    "Phase",
    "Step",
    "TrainState",
    "TrainSummary",
    "Trainer",
    "Transform",
    "build_objective",
    "classification",
    "identify",
    "launch",
    "newest_checkpoint",
    "otherwise_trained",
    "refuse_another_configuration",
    "refuse_another_training",
    "reverse_gradient",
    "train",
]
