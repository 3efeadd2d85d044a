"""Dependence on time: curves over a clip's timing, temporal extent, reversed pairs of classes, occlusion over time."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, declare, texts

from . import report
from .classes import class_changes, sign_test
from .curves import CURVES, Point, curve_points, occlusions
from .dependence import TemporalDependence
from .extent import half_length, temporal_extent
from .occlusion import OcclusionStrips, TemporalOcclusion
from .rearrangements import Cut, Double, Drop, Occlude, Speed, Window
from .reversals import ReversedPair, ReversedPairs, find_pairs, known_lists, read_pairs

__all__ = [
    "CURVES",
    "Cut",
    "Double",
    "Drop",
    "Occlude",
    "OcclusionStrips",
    "Point",
    "ReversedPair",
    "ReversedPairs",
    "Speed",
    "TemporalDependence",
    "TemporalOcclusion",
    "Window",
    "add_config",
    "class_changes",
    "curve_points",
    "find_pairs",
    "half_length",
    "known_lists",
    "occlusions",
    "read_pairs",
    "report",
    "sign_test",
    "temporal_extent",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "BIAS.TEMPORAL_CURVES",
        [*CURVES],
        f"temporal_dependence: what is varied of a clip's timing: {', '.join(CURVES)}.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "BIAS.REVERSED_PAIRS",
        "",
        "reversed_pairs: CSV file with columns class and reversed, names of classes that are each other's reversal. "
        "Empty: the lists that come with pvbias (Something-Something, Kinetics, Jester, NTU RGB+D, HMDB51).",
        effect=Effect.MEASURING,
    )
