"""Optical flow of videos: estimators, and their extraction to files."""

from . import classical, raft
from .estimated import EstimatedFlow, Estimator
from .extraction import FlowSummary, extract_flow

__all__ = ["EstimatedFlow", "Estimator", "FlowSummary", "classical", "extract_flow", "raft"]
