"""Time in attention models: how far attention reaches, and what temporal position embeddings are worth."""

from . import report
from .evaluator import AttentionExtent
from .extent import attention_extent, mean_distances
from .positions import shuffled_positions

__all__ = ["AttentionExtent", "attention_extent", "mean_distances", "report", "shuffled_positions"]
