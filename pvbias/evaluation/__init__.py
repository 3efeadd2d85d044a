"""Evaluation: the Evaluator contract, the one runner that feeds all evaluators, and the evaluators of the core."""

from .accuracy import Accuracy
from .evaluator import Evaluator, VideoViews
from .results import Figure, Predictions, Result
from .runner import measure_shard, run_evaluators
from .sample_clips import SampleClips

__all__ = [
    "Accuracy",
    "Evaluator",
    "Figure",
    "Predictions",
    "Result",
    "SampleClips",
    "VideoViews",
    "measure_shard",
    "run_evaluators",
]
