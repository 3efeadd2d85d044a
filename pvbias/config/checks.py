"""Validation of a configuration: values, their relations, registered names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any

from fvcore.common.config import CfgNode

from ..errors import ConfigError
from ..modalities import check_channels
from .effects import flat
from .keys import DECLARED, are_numbers, pair
from .solvers import completed_solver, solver_groups
from .time_limit import minutes

#: Pairs that must be ordered: the first may not exceed the second. None on either side is filled consistently later.
_ORDERED = (
    ("DATA.TEST_CROP_SIZE", "DATA.TEST_SHORT_SIDE", "a crop cannot be larger than the frame it is taken from"),
    ("DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE", "the model is built for the training crop and cannot see less"),
    ("BIAS.FREEZE_DRAWS", "DATA.NUM_FRAMES", "a clip has no more frames to draw"),
)


def check(cfg: CfgNode, origins: Mapping[str, str] | None = None) -> None:
    """Check a configuration, whatever the data: values, their relations, and registered names.

    Args:
        cfg: a configuration, completed or not (None is not checked).
        origins: where each key that is not at its default comes from, for messages.

    Raises:
        ConfigError: naming the key, its value and where it comes from.
    """
    origins = origins or {}
    check_values(cfg, origins)
    check_objects(cfg, origins)


def check_values(cfg: CfgNode, origins: Mapping[str, str]) -> None:
    """:func:`check` what needs no more than the values, and the rules of :data:`.keys.DECLARED`."""
    fail = partial(_fail, cfg, origins)
    for key, value in flat(cfg):
        if value is not None and key in DECLARED:
            rule = DECLARED[key].rule
            with _found_for(key, origins):
                holds = rule.holds(value)
            if not holds:
                fail(key, rule.must)
    warm_ups = [
        (f"{group}.WARMUP_EPOCHS", f"{group}.MAX_EPOCH", "the warm-up is part of the training")
        for group in ("SOLVER", *solver_groups(cfg))
    ]
    for small, large, why in (*_ORDERED, *warm_ups):
        low, high = value_of(cfg, small), value_of(cfg, large)
        if low is not None and high is not None and low > high:
            fail(small, f"is larger than {large} = {high!r} ({origins.get(large, 'default')}): {why}")
    _check_relations(cfg, fail)


#: Keys whose modulations :func:`check_objects` makes, and those that have to go with them.
OF_MODULATIONS = (
    "BIAS.MODULATIONS",
    "BIAS.FREEZE_DRAWS",
    "BIAS.FREEZE_FRAME",
    "DATA.MODULATION",
    "DATA.NUM_FRAMES",
    "FEATURES.MODULATIONS",
)


def check_objects(cfg: CfgNode, origins: Mapping[str, str]) -> None:
    """:func:`check` what needs what is registered: the modulations of :data:`OF_MODULATIONS`, and the model."""
    from ..models import find_model  # with torch

    _check_modulations(cfg, origins)
    if cfg.MODEL.MODEL_NAME:  # empty, until the run is completed
        with _found_for("MODEL.MODEL_NAME", origins):
            find_model(cfg)


@contextmanager
def _found_for(key: str, origins: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{origins.get(key, 'default')}: {key}: {error}") from error


def _check_relations(cfg: CfgNode, fail: Callable[[str, str], None]) -> None:
    if cfg.SHARD_ID >= cfg.NUM_SHARDS:
        fail("SHARD_ID", f"must be below NUM_SHARDS = {cfg.NUM_SHARDS}")
    scales, crop = cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE
    if scales is not None and crop is not None and scales[0] < crop:
        fail("DATA.TRAIN_JITTER_SCALES", f"starts below DATA.TRAIN_CROP_SIZE = {crop}: the crop would not fit")
    areas = cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE
    if areas and not pair(1e-6, 1).holds(areas):
        fail("DATA.TRAIN_JITTER_SCALES_RELATIVE", "must be empty or [min, max] with 0 < min <= max <= 1")
    if areas and cfg.DATA.TRAIN_CORNER_SCALES:
        fail("DATA.TRAIN_CORNER_SCALES", "excludes DATA.TRAIN_JITTER_SCALES_RELATIVE: leave one of the two empty")
    if cfg.TRAIN.CHECKPOINT_BEST and not cfg.TRAIN.EVAL_PERIOD:
        fail("TRAIN.CHECKPOINT_BEST", "needs validations: set TRAIN.EVAL_PERIOD")
    if None not in (cfg.DATA.MODALITY, cfg.DATA.MEAN, cfg.DATA.STD):
        try:
            check_channels(cfg.DATA.MODALITY, cfg.DATA.MEAN, cfg.DATA.STD)
        except ConfigError as error:
            fail("DATA.MEAN", f"does not go with DATA.STD and DATA.MODALITY. {error}")
    if minutes(cfg.SLURM.TIME) * 60 < cfg.SLURM.SIGNAL_DELAY + 120:
        fail("SLURM.TIME", f"leaves no time to work before the signal, SLURM.SIGNAL_DELAY = {cfg.SLURM.SIGNAL_DELAY} s")
    _check_solver(cfg.SOLVER, partial(_fail_in, fail, "SOLVER"))
    for group in solver_groups(cfg):
        _check_solver(completed_solver(cfg, group), partial(_fail_in, fail, group))


def _check_modulations(cfg: CfgNode, origins: Mapping[str, str]) -> None:
    from ..clips import ORIGINAL, Rearrangement, modulation  # with torch

    fail = partial(_fail, cfg, origins)
    compared = [modulation(spec) for spec in cfg.BIAS.MODULATIONS]
    if modulation(ORIGINAL) in compared:
        fail("BIAS.MODULATIONS", f"has {ORIGINAL!r}, the clips that the others are compared with")
    if modulation(cfg.DATA.MODULATION).tracks:
        fail("DATA.MODULATION", "takes what accompanies the clips, and only evaluators are given that")
    random = modulation("freeze_random")
    if cfg.BIAS.FREEZE_DRAWS > 1 and cfg.BIAS.FREEZE_FRAME != "random" and random not in compared:
        fail("BIAS.FREEZE_DRAWS", f"needs random frames, and BIAS.FREEZE_FRAME = {cfg.BIAS.FREEZE_FRAME!r}")
    if cfg.DATA.NUM_FRAMES is not None:
        for key, made in (
            ("DATA.MODULATION", [modulation(cfg.DATA.MODULATION)]),
            ("BIAS.MODULATIONS", compared),
            ("FEATURES.MODULATIONS", [modulation(spec) for spec in cfg.FEATURES.MODULATIONS]),
        ):
            for each in made:
                with _found_for(key, origins):
                    if isinstance(each, Rearrangement):
                        each.frames(cfg.DATA.NUM_FRAMES, [0])  # not every clip has enough frames for all of them


def _fail(cfg: CfgNode, origins: Mapping[str, str], key: str, what: str) -> None:
    raise ConfigError(f"{origins.get(key, 'default')}: {key} = {value_of(cfg, key)!r} {what}")


def _fail_in(fail: Callable[[str, str], None], group: str, name: str, what: str) -> None:
    fail(f"{group}.{name}", what)


def _check_solver(solver: CfgNode, fail: Callable[[str, str], None]) -> None:
    if len(solver.STEPS) != len(solver.LRS) or not solver.STEPS or solver.STEPS[0] != 0:
        fail("STEPS", f"must start with 0 and have as many entries as LRS = {solver.LRS!r}")
    if not are_numbers(solver.STEPS) or list(solver.STEPS) != sorted(solver.STEPS):
        fail("STEPS", "must be epochs in ascending order")
    if not are_numbers(solver.LRS) or min(solver.LRS) < 0:
        fail("LRS", "must be factors of at least 0")
    if solver.CLIP_GRAD_VAL is not None and solver.CLIP_GRAD_L2NORM is not None:
        fail("CLIP_GRAD_VAL", "and CLIP_GRAD_L2NORM are both set: choose one")
    if not (are_numbers(solver.BETAS) and len(solver.BETAS) == 2 and all(0 <= beta < 1 for beta in solver.BETAS)):
        fail("BETAS", "must be two numbers in [0, 1)")


def value_of(cfg: CfgNode, key: str) -> Any:
    """The value at a dotted key."""
    return reduce(lambda node, name: node[name], key.split("."), cfg)
