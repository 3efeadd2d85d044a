"""Measuring: the Evaluator contract, the one runner that feeds all evaluators, and the evaluators of the core."""

from .accuracy import Accuracy
from .evaluator import Evaluator, VideoViews
from .results import Figure, Result
from .runner import run_evaluators
from .sample_clips import SampleClips

__all__ = ["Accuracy", "Evaluator", "Figure", "Result", "SampleClips", "VideoViews", "run_evaluators"]
