"""The modulations that an evaluator compares the original clips with."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from ..clips import Freeze, Modulation, modulation


def compared_modulations(cfg: CfgNode, *modulations: Modulation) -> dict[str, tuple[str, ...]]:
    """The modulations to compare the original clips with: the evaluator's own, then those of ``BIAS.MODULATIONS``.

    ::

        self.compared = compared_modulations(cfg, Freeze(frame=cfg.BIAS.FREEZE_FRAME), Shuffle())
        # {"freeze_middle": ("freeze_middle",), "shuffle": ("shuffle",)}

    Returns:
        For the name of each variant (:attr:`.Figure.variant`) the specs of the modulations that its figures are the
        mean over: itself, but ``BIAS.FREEZE_DRAWS`` different frames for clips frozen to a random one.
    """
    found = {}
    for each in (*modulations, *map(modulation, cfg.BIAS.MODULATIONS)):
        draws = each.draws(cfg.BIAS.FREEZE_DRAWS) if isinstance(each, Freeze) else (each,)
        found[each.spec] = tuple(draw.spec for draw in draws)
    return found
