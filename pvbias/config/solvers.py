"""Optimizers and schedules of auxiliary networks: groups with the keys of ``SOLVER``, None where they are as in it."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from .keys import DECLARED, declare

#: Dotted names of the groups that were declared, in order.
GROUPS: dict[str, None] = {}


def declare_solver(cfg: CfgNode, group: str, whose: str) -> None:
    """Add a group with the keys of ``SOLVER``, all None: as in ``SOLVER``, once the configuration is completed.

    ::

        declare_solver(cfg, "MY_LAB.CRITIC.SOLVER", "The critic's")

    Args:
        cfg: where to; it has ``SOLVER`` already.
        group: dotted name.
        whose: for the keys' texts.
    """
    for name in list(cfg.SOLVER):
        own = DECLARED[f"SOLVER.{name}"]
        about = f"{whose} {name}: see SOLVER.{name}. None: as in SOLVER."
        declare(cfg, f"{group}.{name}", None, about, own.rule, unit=own.unit, kind=own.kind, effect=own.effect)
    GROUPS[group] = None


def solver_groups(cfg: CfgNode) -> list[str]:
    """Dotted names of the groups that a configuration has beside ``SOLVER``."""
    return [group for group in GROUPS if _node(cfg, group) is not None]


def completed_solver(cfg: CfgNode, group: str) -> CfgNode:
    """A group with what it leaves open as in ``SOLVER``."""
    node = _node(cfg, group)
    assert node is not None
    own = {name: value for name, value in node.items() if value is not None}
    return CfgNode({**cfg.SOLVER, **own})


def complete_solvers(cfg: CfgNode) -> None:
    """Fill all groups in from ``SOLVER``."""
    for group in solver_groups(cfg):
        parent, _, name = group.rpartition(".")
        node = _node(cfg, parent)
        assert node is not None
        node[name] = completed_solver(cfg, group)


def _node(cfg: CfgNode, dotted: str) -> CfgNode | None:
    node = cfg
    for name in dotted.split(".") if dotted else []:
        if name not in node:
            return None
        node = node[name]
    return node
