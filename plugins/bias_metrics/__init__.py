"""Static-bias metrics: from predictions on modulated clips, from a spatial student, and from the weights."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, declare, one_of

from . import report
from .distilled import DatasetBias, DistilledDynamicScore
from .frame_probe import FrameProbe
from .kernel_measures import Asdt, SelfConvolution, asdt, relative_asdt, self_convolution, temporal_channels
from .metrics import (
    AgreementMetric,
    DatasetBiasMetric,
    DynamicScoreMetric,
    LogRatioMetric,
    agreement,
    dataset_bias,
    dynamic_score,
    log_ratio,
)
from .modulated_accuracy import ModulatedAccuracy
from .modulated_predictions import DynamicScore

__all__ = [
    "AgreementMetric",
    "Asdt",
    "DatasetBias",
    "DatasetBiasMetric",
    "DistilledDynamicScore",
    "DynamicScore",
    "DynamicScoreMetric",
    "FrameProbe",
    "LogRatioMetric",
    "ModulatedAccuracy",
    "SelfConvolution",
    "add_config",
    "agreement",
    "asdt",
    "dataset_bias",
    "dynamic_score",
    "log_ratio",
    "relative_asdt",
    "report",
    "self_convolution",
    "temporal_channels",
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
    declare(
        cfg,
        "BIAS.SELF_CONVOLUTION_TEMPORAL",
        "below",
        "self_convolution: on which side of SELF_CONVOLUTION_DELTA kernels are temporal. below: as the paper's text "
        "argues; above: as its definition is printed.",
        one_of("below", "above"),
        effect=Effect.MEASURING,
    )
