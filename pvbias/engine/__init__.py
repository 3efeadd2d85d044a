"""Training: objectives with phases, the trainer and its hooks."""

from .objective import Objective, Phase, Step

__all__ = ["Objective", "Phase", "Step"]
