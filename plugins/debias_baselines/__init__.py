"""Debiasing losses of the literature, to compare with: RUBi, Learned-Mixin."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import at_least, declare

from .ensembles import LearnedMixin, RUBi

__all__ = ["LearnedMixin", "RUBi", "add_config"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(cfg, "RUBI.WEIGHT", 1.0, "RUBi: weight of the loss of the classifier on the biased features.", at_least(0))
    declare(
        cfg,
        "LEARNED_MIXIN.ENTROPY_WEIGHT",
        0.36,
        "LearnedMixin: weight w of the entropy of the scaled bias. The paper's for VQA-CP, and that of ReBias' code; "
        "0: Learned-Mixin without it.",
        at_least(0),
    )
