"""A plugin outside of pvbias: importing it registers two models, one of them with a head of its own, an objective and
an evaluator with its metric."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import at_least, declare

from .confidence import Confidence
from .models import AttentionHead, MeanHead, build_frames_then_time
from .objective import ArrowOfTime

__all__ = ["ArrowOfTime", "AttentionHead", "Confidence", "MeanHead", "add_config", "build_frames_then_time"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "EXAMPLE.WEIGHT",
        0.5,
        "ArrowOfTime: weight of the agreement with the reversed clip; 0 is plain cross-entropy.",
        at_least(0),
    )
