"""Measuring: the Evaluator contract and the one runner that feeds all evaluators."""

from .evaluator import Evaluator, VideoViews
from .results import Figure, Result

__all__ = ["Evaluator", "Figure", "Result", "VideoViews"]
