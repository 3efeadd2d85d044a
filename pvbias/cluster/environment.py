"""sbatch's environment variables (``SBATCH_PARTITION``, ...) as keys of a job's configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fvcore.common.config import CfgNode

from ..config import get_cfg
from ..config.remembered import check
from ..errors import ConfigError
from .slurm import limit_minutes

#: Variables that are keys of SLURM.
_KEYS = {
    "SBATCH_PARTITION": "PARTITION",
    "SBATCH_ACCOUNT": "ACCOUNT",
    "SBATCH_QOS": "QOS",
    "SBATCH_CONSTRAINT": "CONSTRAINT",
    "SBATCH_TIMELIMIT": "TIME",
}

#: Variables that are further options, in SLURM.SBATCH.
_OPTIONS = {"SBATCH_RESERVATION": "reservation", "SBATCH_WCKEY": "wckey"}


def with_environment(
    cfg: CfgNode, environment: Mapping[str, str] = os.environ
) -> tuple[CfgNode, dict[str, str], list[str]]:
    """Fill keys of ``SLURM`` that are at their defaults from the variables that sbatch reads.

    As with sbatch, what is asked for explicitly counts more than the environment. But ``#SBATCH`` lines, which is what
    becomes of a configuration, would count less: so a job is submitted without these variables.

    Args:
        cfg: checked.
        environment: variables.

    Returns:
        The configuration, checked again; ``KEY = VALUE`` of each key that was filled, by its variable; the variables
        that decide nothing: the configuration has another value, or they are about what pvbias decides by itself
        (processes, memory, arrays, signals, requeueing, log files).

    Raises:
        ConfigError: a value that the key cannot have.
    """
    found = {name: value for name, value in environment.items() if name.startswith("SBATCH_") and value}
    cfg, default = cfg.clone(), get_cfg().SLURM
    cfg.defrost()
    taken: dict[str, str] = {}
    for name, key in _KEYS.items():
        if name in found and cfg.SLURM[key] == default[key]:
            cfg.SLURM[key] = _limit(found[name]) if key == "TIME" else found[name]
            taken[name] = f"SLURM.{key} = {cfg.SLURM[key]!r}"
    given = {text.removeprefix("--").partition("=")[0] for text in cfg.SLURM.SBATCH}
    for name, option in _OPTIONS.items():
        if name in found and option not in given:
            cfg.SLURM.SBATCH = [*cfg.SLURM.SBATCH, f"{option}={found[name]}"]
            taken[name] = f"SLURM.SBATCH {option}={found[name]}"
    check(cfg, {f"SLURM.{key}": name for name, key in _KEYS.items() if name in taken})
    return cfg, taken, sorted(found.keys() - taken)


def _limit(text: str) -> str:
    """A time limit in one of the forms of SLURM.TIME: not Slurm's MM:SS, which people take for hours."""
    try:
        return str(limit_minutes(text))
    except ValueError as error:
        raise ConfigError(
            f"SBATCH_TIMELIMIT = {text!r}: a job needs a limit, minutes ('90'), 'MM:SS', 'HH:MM:SS', 'D-HH' or "
            "'D-HH:MM:SS'. SLURM.TIME counts more, if you set it."
        ) from error
