"""Dynamic representation learning: training that enlarges the distance to what single frames can tell."""

from fvcore.common.config import CfgNode

from .objectives import DRLAdversarial, DRLDistill, DRLFreeze, DRLShuffle

__all__ = ["DRLAdversarial", "DRLDistill", "DRLFreeze", "DRLShuffle", "add_config"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys. Defaults without a remark are those of the paper's supplement, Table 2."""
    cfg.DRL = CfgNode()
    # Student (DRLAdversarial, DRLDistill): weight of the distillation from the recognizer, [0, 1]; the labels have the
    # rest. The student itself, its optimizer and schedule: STUDENT.
    cfg.DRL.ALPHA = 0.5
    # DRLAdversarial: weight of the attacked clips in the recognizer's loss, [0, 1]; the clean ones have the rest.
    cfg.DRL.BETA = 0.5
    # DRLAdversarial: largest change of a pixel, grey levels of 255, >= 0.
    cfg.DRL.EPSILON = 8.0
    # DRLAdversarial: "fgsm" (one step) or "pgd".
    cfg.DRL.ATTACK = "fgsm"
    # Steps of "pgd", >= 1, and their length in grey levels, > 0. The paper gives neither; those of Madry et al., whom
    # it cites, for the same epsilon.
    cfg.DRL.PGD_STEPS = 7
    cfg.DRL.PGD_STEP_SIZE = 2.0
    # DRLDistill, DRLFreeze, DRLShuffle: weight of the dynamic score, >= 0.
    cfg.DRL.LAMBDA = 0.5
    # Epochs in which that weight rises from 0 to LAMBDA in a straight line, >= 0. Not in the paper. A recognizer that
    # does not use motion yet has no dynamic score to enlarge: its gradient is zero.
    cfg.DRL.WARMUP_EPOCHS = 0.0
    # DRLFreeze: the frame that a frozen clip repeats, "first", "middle" or "random" (anew for each clip in each step).
    # The paper does not say; a fixed one would train on exactly what dynamic_score measures.
    cfg.DRL.FREEZE_FRAME = "random"
