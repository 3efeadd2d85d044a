"""Results as JSON, tables and one HTML page."""

from .page import write_comparison, write_report
from .results import RunResults, read_predictions, read_results, write_results

__all__ = [
    "RunResults",
    "read_predictions",
    "read_results",
    "write_comparison",
    "write_report",
    "write_results",
]
