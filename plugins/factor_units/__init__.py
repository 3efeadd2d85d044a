"""Static and dynamic units: what each layer, and each of its channels, encodes of appearance and of motion."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, at_least, declare, texts

from . import report
from .stylings import Stylize
from .units import FactorUnits

__all__ = ["FactorUnits", "Stylize", "add_config", "report"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "FACTOR_UNITS.LAYERS",
        [],
        "factor_units: dotted names of the layers that are looked at, and embedding, from input to output. Empty: the "
        "network's blocks and the embedding.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FACTOR_UNITS.DYNAMIC_PAIR",
        ["stylize(draw=1)", "stylize(draw=2)"],
        "factor_units: two modulations of a video that share its dynamics. Exact on generated data sets: "
        "original, same_motion.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FACTOR_UNITS.STATIC_PAIR",
        ["original", "shuffle"],
        "factor_units: two modulations of a video that share its statics. Exact on generated data sets: "
        "original, same_appearance.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FACTOR_UNITS.THRESHOLD",
        0.5,
        "factor_units: correlation over pairs above which a unit encodes what they share.",
        at_least(0.0),
        effect=Effect.MEASURING,
    )
