"""Rev2Net: optical flow and reversed frames as what is decoded from a recognizer's features while it learns."""

from fvcore.common.config import CfgNode

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
    cfg.REV2NET = CfgNode()
    # Which tasks there are. Without the flow decoder training needs no optical flow.
    cfg.REV2NET.FLOW_DECODER = True
    cfg.REV2NET.FRAME_DECODER = True
    # Decoding discrepancy penalties (eq. 2, eq. 1). With one decoder there is nothing to compare: both are off.
    cfg.REV2NET.HIGH_LEVEL = True
    cfg.REV2NET.LOW_LEVEL = True
    # Weights, >= 0: of the high-level penalty, of the low-level penalty, of flow prediction, of frame reconstruction.
    cfg.REV2NET.ALPHA = 0.01
    cfg.REV2NET.BETA = 0.1
    cfg.REV2NET.LAMBDA_FLOW = 0.1
    cfg.REV2NET.LAMBDA_FRAMES = 0.1
    # What a norm in eq. 1 and 3 is of one clip's tensor: "frobenius" (the paper: root of the *sum* of squares, which
    # grows with the clip's size) or "rms" (root of their mean: weights mean the same for clips of any size, and have to
    # be larger).
    cfg.REV2NET.NORM = "frobenius"
    # Dotted name of the inner module whose feature map is decoded, e.g. Conv3d_2c_3x3 (Inception-I3D, the paper).
    # Empty: in a convolutional network the last of the outermost modules whose feature map has a quarter of the clip's
    # height and width, which is the paper's (an eighth or a sixteenth, where less than 1 % of the weights come before
    # that); in a transformer the block in the middle of its depth; SlowFast's third stage, of both pathways.
    cfg.REV2NET.TAP = ""
    # Hidden channels of the decoders, >= 1: after the first layer (of both), after the second (of the frame decoder).
    # Not in the paper, which wants them weak; these keep a step of Inception-I3D below 1.6 of one without.
    cfg.REV2NET.CHANNELS = [16, 8]
    # Learning rate of decoders and Gaussians, as a multiple of SOLVER's, > 0: they start from random weights, also
    # where the recognizer does not. Not in the paper.
    cfg.REV2NET.LR_FACTOR = 1.0
    # Dimensions of the Gaussians of the high-level penalty, >= 1. Not in the paper.
    cfg.REV2NET.LATENT = 64
