"""Results as JSON, tables and one HTML page of registered sections; see the package's README.md."""

from . import breakdown, confusion, glance, samples  # noqa: F401 (they register their sections)
from .accuracy import TOP1, TOP5
from .figures import find
from .metric import Derived, Headline, Metric, Ranking, Reading
from .page import write_comparison, write_report
from .results import RunResults, read_predictions, read_results, write_results
from .section import Content, Section
from .training import TRAINING, read_training

__all__ = [
    "TOP1",
    "TOP5",
    "TRAINING",
    "Content",
    "Derived",
    "Headline",
    "Metric",
    "Ranking",
    "Reading",
    "RunResults",
    "Section",
    "find",
    "read_predictions",
    "read_results",
    "read_training",
    "write_comparison",
    "write_report",
    "write_results",
]
