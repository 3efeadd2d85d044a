"""How much a recognizer leans on static appearance: from its predictions on clips whose time is changed, from what a
classifier of single frames can learn of them, and from its weights."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, declare

from . import report
from .distilled import DatasetBias, DistilledDynamicScore
from .dynamic_score import DynamicScore
from .kernel_measures import Asdt, SelfConvolution
from .modulated_accuracy import ModulatedAccuracy

__all__ = [
    "Asdt",
    "DatasetBias",
    "DistilledDynamicScore",
    "DynamicScore",
    "ModulatedAccuracy",
    "SelfConvolution",
    "add_config",
    "report",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys, and those of its evaluators that train nothing to those that are measured by default."""
    cfg.BIAS.EVALUATORS = ["dynamic_score", "modulated_accuracy", "asdt", "self_convolution", *cfg.BIAS.EVALUATORS]
    declare(
        cfg,
        "BIAS.SELF_CONVOLUTION_DELTA",
        0.0,
        "self_convolution: a kernel is temporal where the sum of products of neighbouring time slices is below "
        "this number.",
        effect=Effect.MEASURING,
    )
