"""Evaluation videos that contradict appearance, made of any videos: SCUBA and SCUFO, Action Swap, appearance-free."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, declare, texts

from . import report, tracks
from .appearance_free import AppearanceFree, AppearanceFreeAccuracy, FlowingNoise
from .contrasted_accuracy import ContrastedAccuracy, contrast_credit
from .human_centric import ActionSwap, ActionSwapAccuracy, BackgroundOnly, HumanBackgroundAccuracy, HumanOnly
from .scuba import Scuba, Scufo
from .styles import Restyle, StyleShiftAccuracy

__all__ = [
    "ActionSwap",
    "ActionSwapAccuracy",
    "AppearanceFree",
    "AppearanceFreeAccuracy",
    "BackgroundOnly",
    "ContrastedAccuracy",
    "FlowingNoise",
    "HumanBackgroundAccuracy",
    "HumanOnly",
    "Restyle",
    "Scuba",
    "Scufo",
    "StyleShiftAccuracy",
    "add_config",
    "contrast_credit",
    "report",
    "tracks",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "CONTRASTED.BACKGROUNDS",
        ["stripes"],
        "contrasted_accuracy: what is behind the actor, one after another: stripes, images (of IMAGES_DIR), frames (of "
        "videos of other classes).",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "CONTRASTED.IMAGES_DIR",
        "",
        "Folder of images for backgrounds, searched to any depth.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "CONTRASTED.SWAPS",
        ["same", "random"],
        "action_swap: whose background: same (class), random, close, far, pairs (of PAIRS), one after another.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "CONTRASTED.ALIGN",
        True,
        "action_swap: the actor is put where the other video's actor is, as HAT does. False: where it was.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "CONTRASTED.PAIRS",
        "",
        "action_swap: file with lines `video,donor`, or a pickle of HAT.",
        effect=Effect.MEASURING,
    )
