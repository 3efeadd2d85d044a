"""Results as JSON, tables and one HTML page."""

from .page import write_comparison, write_report
from .results import RunResults, read_predictions, read_results, write_results
from .sections import TRAINING
from .training import read_training

__all__ = [
    "TRAINING",
    "RunResults",
    "read_predictions",
    "read_results",
    "read_training",
    "write_comparison",
    "write_report",
    "write_results",
]
