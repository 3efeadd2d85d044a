"""Rev2Net: decoding optical flow and reversed frames from a recognizer's features as auxiliary tasks."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import above, at_least, declare, one_of, registered
from pvbias.registries import DECODER

from .controls import FLOW_TARGETS
from .decoders import Decoded, FlowDecoder, FrameDecoder
from .objective import Decodings, Rev2Net
from .penalties import frobenius, gaussian_divergence, low_level_discrepancy

__all__ = [
    "Decoded",
    "Decodings",
    "FlowDecoder",
    "FrameDecoder",
    "Rev2Net",
    "add_config",
    "frobenius",
    "gaussian_divergence",
    "low_level_discrepancy",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys. Weights are the paper's (eq. 3)."""
    declare(cfg, "REV2NET.FLOW_DECODER", True, "Predict optical flow. Without it training needs no optical flow.")
    declare(cfg, "REV2NET.FRAME_DECODER", True, "Predict the frames in reversed order.")
    declare(
        cfg,
        "REV2NET.HIGH_LEVEL",
        True,
        "High-level decoding discrepancy penalty (eq. 2). With one decoder there is nothing to compare: it is off.",
    )
    declare(
        cfg,
        "REV2NET.LOW_LEVEL",
        True,
        "Low-level decoding discrepancy penalty (eq. 1). With one decoder there is nothing to compare: it is off.",
    )
    declare(cfg, "REV2NET.ALPHA", 0.01, "Weight of the high-level penalty.", at_least(0))
    declare(cfg, "REV2NET.BETA", 0.1, "Weight of the low-level penalty.", at_least(0))
    declare(cfg, "REV2NET.LAMBDA_FLOW", 0.1, "Weight of the flow prediction.", at_least(0))
    declare(cfg, "REV2NET.LAMBDA_FRAMES", 0.1, "Weight of the frame reconstruction.", at_least(0))
    declare(
        cfg,
        "REV2NET.NORM",
        "frobenius",
        "What a norm in eq. 1 and 3 is of one clip's tensor: frobenius (the paper: root of the *sum* of squares, "
        "which grows with the clip's size) or rms (root of their mean: weights mean the same for clips of any "
        "size, and have to be larger).",
        one_of("frobenius", "rms"),
    )
    declare(
        cfg,
        "REV2NET.FLOW_TARGET",
        "flow",
        "What the flow decoder predicts: the clip's optical flow; or, as a control, zero, the flow of another clip of "
        "the mini-batch (shuffled), or its own half of the clip later (delayed).",
        one_of(*FLOW_TARGETS),
    )
    declare(
        cfg,
        "REV2NET.DETACHED",
        False,
        "As a control: the decoders learn from features that get no gradient of theirs; the recognizer is trained with "
        "the classification loss alone.",
    )
    declare(
        cfg,
        "REV2NET.FLIP",
        True,
        "The frame decoder reads the feature map backwards. False, as a control: it reads the map in order, and has to "
        "bring what it sees to the other end of the clip.",
    )
    declare(
        cfg,
        "REV2NET.TAP",
        "",
        "Dotted name of the inner module whose feature map is decoded, e.g. Conv3d_2c_3x3 (Inception-I3D, the "
        "paper). Empty: in a convolutional network the last of the outermost modules whose feature map has a "
        "quarter of the clip's height and width, which is the paper's (an eighth or a sixteenth, where less than "
        "1 % of the weights come before that); in a transformer the block in the middle of its depth; SlowFast's "
        "third stage, of both pathways.",
    )
    for task, name in (("FLOW", "rev2net_flow"), ("FRAME", "rev2net_frames")):
        about = (
            "The decoder; its module gives a `Decoded`. With the low-level penalty both give features of equal shapes."
        )
        declare(cfg, f"REV2NET.{task}_DECODER_NAME", name, about, registered(DECODER, "decoders"))
    declare(
        cfg,
        "REV2NET.CHANNELS",
        [16, 8],
        "Hidden channels of the decoders, each at least 1: after the first layer (of both), after the second (of "
        "the frame decoder). Not in the paper, which wants them weak; these keep a step of Inception-I3D below "
        "1.6 of one without.",
        unit="channels",
    )
    declare(
        cfg,
        "REV2NET.LR_FACTOR",
        1.0,
        "Learning rate of decoders and Gaussians: they start from random weights, also where the recognizer does "
        "not. Not in the paper.",
        above(0),
        unit="times SOLVER's",
    )
    declare(
        cfg,
        "REV2NET.LATENT",
        64,
        "Size of the Gaussians of the high-level penalty. Not in the paper.",
        at_least(1),
        unit="dimensions",
    )
