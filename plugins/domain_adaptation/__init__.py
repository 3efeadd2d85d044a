"""Unsupervised domain adaptation: DANN and CDAN, with a second, unlabelled stream of training clips."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import at_least, declare
from pvbias.config.stream_keys import declare_stream

from .adversarial import CDAN, DANN
from .reversal import reversal_strength

__all__ = ["CDAN", "DANN", "add_config", "reversal_strength"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys, and the stream of unlabelled clips of the target domain, ``DATA.STREAMS.target``."""
    declare_stream(cfg, "target", labelled=False)
    declare(
        cfg,
        "DOMAIN_ADAPTATION.GAMMA",
        10.0,
        "DANN, CDAN: how fast the reversed gradient comes in (the paper's 10); 0: never, a classifier of domains looks "
        "on.",
        at_least(0),
    )
    declare(
        cfg,
        "DOMAIN_ADAPTATION.HIDDEN",
        1024,
        "DANN, CDAN: width of the domain classifier's two hidden layers.",
        at_least(1),
        unit="features",
    )
    declare(
        cfg,
        "CDAN.ENTROPY",
        True,
        "CDAN+E: clips that the network is sure of count up to twice as much as those of which it knows nothing.",
    )
    declare(
        cfg,
        "CDAN.LARGEST_PRODUCT",
        4096,
        "CDAN: the domain classifier sees all products of embedding and class probabilities where there are at most "
        "this many (the paper's 4096), else random combinations of them.",
        at_least(0),
        unit="products",
    )
    declare(
        cfg,
        "CDAN.RANDOM_FEATURES",
        1024,
        "CDAN: how many random combinations.",
        at_least(1),
        unit="features",
    )
