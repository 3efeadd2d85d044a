"""Dynamic representation learning: training that enlarges the divergence from what single frames predict."""

from fvcore.common.config import CfgNode

from pvbias.clips import FREEZE_FRAMES
from pvbias.config.keys import above, at_least, between, declare, one_of

from .objectives import DRLAdversarial, DRLDistill, DRLFreeze, DRLShuffle

__all__ = ["DRLAdversarial", "DRLDistill", "DRLFreeze", "DRLShuffle", "add_config"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys. Defaults without a remark are those of the paper's supplement, Table 2."""
    declare(
        cfg,
        "DRL.ALPHA",
        0.5,
        "Student (DRLAdversarial, DRLDistill): weight of the distillation from the recognizer; the labels have "
        "the rest. The student itself, its optimizer and schedule: STUDENT.",
        between(0, 1),
    )
    declare(
        cfg,
        "DRL.BETA",
        0.5,
        "DRLAdversarial: weight of the attacked clips in the recognizer's loss; the clean ones have the rest.",
        between(0, 1),
    )
    declare(
        cfg, "DRL.EPSILON", 8.0, "DRLAdversarial: largest change of a pixel.", at_least(0), unit="grey levels of 255"
    )
    declare(cfg, "DRL.ATTACK", "fgsm", "DRLAdversarial: the attack, fgsm in one step.", one_of("fgsm", "pgd"))
    declare(
        cfg,
        "DRL.PGD_STEPS",
        7,
        "Steps of pgd. The paper gives none; this is the number of Madry et al., whom it cites, for the same epsilon.",
        at_least(1),
        unit="steps",
    )
    declare(
        cfg,
        "DRL.PGD_STEP_SIZE",
        2.0,
        "Length of a step of pgd. As PGD_STEPS, that of Madry et al.",
        above(0),
        unit="grey levels of 255",
    )
    declare(cfg, "DRL.LAMBDA", 0.5, "DRLDistill, DRLFreeze, DRLShuffle: weight of the dynamic score.", at_least(0))
    declare(
        cfg,
        "DRL.WARMUP_EPOCHS",
        0.0,
        "Time in which that weight rises from 0 to LAMBDA in a straight line. Not in the paper. A recognizer that "
        "does not use motion yet has no dynamic score to enlarge: its gradient is zero.",
        at_least(0),
        unit="epochs",
    )
    declare(
        cfg,
        "DRL.FREEZE_FRAME",
        "random",
        "DRLFreeze: the frame that a frozen clip repeats; random: anew for each clip in each step. The paper does "
        "not say; a fixed one would train on exactly what dynamic_score measures.",
        one_of(*FREEZE_FRAMES),
    )
