"""What a configuration must satisfy, whatever the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any

from fvcore.common.config import CfgNode

from ..errors import ConfigError
from ..models import find_model
from ..registries import DATASET, EVALUATOR, MODULATION, OBJECTIVE, Registry
from .defaults import get_cfg
from .time_limit import minutes

#: Types of the keys whose default is None ("as the model was trained").
OPTIONAL_TYPES: dict[str, type] = {
    "MODEL.NUM_CLASSES": int,
    "DATA.LABELS_START_AT": int,
    "DATA.FRAME_PREFIX": str,
    "DATA.NUM_FRAMES": int,
    "DATA.SAMPLING_RATE": int,
    "DATA.TARGET_FPS": float,
    "DATA.TRAIN_CROP_SIZE": int,
    "DATA.TEST_CROP_SIZE": int,
    "DATA.TEST_SHORT_SIDE": int,
    "DATA.TRAIN_JITTER_SCALES": list,
    "DATA.MODALITY": str,
    "DATA.MEAN": list,
    "DATA.STD": list,
    "SOLVER.CLIP_GRAD_VAL": float,
    "SOLVER.CLIP_GRAD_L2NORM": float,
}
#: Keys of the recognizer's solver, which the student's has, too.
OPTIONAL_TYPES |= {
    f"STUDENT.SOLVER.{name}": OPTIONAL_TYPES.get(f"SOLVER.{name}", type(value))
    for name, value in get_cfg().SOLVER.items()
}

_Rule = tuple[Callable[[Any], bool], str]


def _at_least(low: float) -> _Rule:
    return lambda value: value >= low, f"must be at least {low}"


def _above(low: float) -> _Rule:
    return lambda value: value > low, f"must be above {low}"


def _between(low: float, high: float) -> _Rule:
    return lambda value: low <= value <= high, f"must lie in [{low}, {high}]"


def _below_one() -> _Rule:
    return lambda value: 0 <= value < 1, "must lie in [0, 1)"


def _one_of(*choices: Any) -> _Rule:
    return lambda value: value in choices, "must be one of " + ", ".join(map(repr, choices))


def _range(low: float, high: float = float("inf")) -> _Rule:
    def holds(value: Any) -> bool:
        return _numbers(value) and len(value) == 2 and low <= value[0] <= value[1] <= high

    return holds, f"must be [min, max] with {low} <= min <= max" + ("" if high == float("inf") else f" <= {high}")


def _numbers(value: Any) -> bool:
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)


def _texts() -> _Rule:
    return lambda value: all(isinstance(item, str) for item in value), "must be a list of names"


def _is_time_limit(text: str) -> bool:
    try:
        return minutes(text) > 0
    except ValueError:
        return False


def _colour(*, zero: bool) -> _Rule:
    def holds(value: Any) -> bool:
        return _numbers(value) and len(value) == 3 and 0 <= min(value) <= max(value) <= 1 and (zero or min(value) > 0)

    return holds, (
        f"must be three numbers (red, green, blue) {'in [0, 1]' if zero else 'above 0 and up to 1'}, since they are "
        "for RGB in [0, 1]. Those for RGB in [0, 255] have to be divided by 255"
    )


_RULES: dict[str, _Rule] = {
    "PLUGINS": _texts(),
    "RNG_SEED": _at_least(0),
    "NUM_GPUS": _at_least(0),
    "NUM_SHARDS": _at_least(1),
    "SHARD_ID": _at_least(0),
    "DIST_BACKEND": _one_of("auto", "nccl", "gloo"),
    "PRECISION": _one_of("auto", "fp32", "bf16", "fp16"),
    "MEMORY_FORMAT": _one_of("auto", "channels_last_3d", "contiguous"),
    "LOG_PERIOD": _at_least(1),
    "MODEL.NUM_CLASSES": _at_least(2),
    "MODEL.FREEZE": _texts(),
    "CHECKPOINT.MIN_MATCH": _between(0, 1),
    "DATA.LIST_FORMAT": _one_of("auto", "tsn"),
    "DATA.LABELS_START_AT": _one_of(0, 1),
    "DATA.TEMPORAL_SAMPLING": _one_of("rate", "duration", "windows"),
    "DATA.NUM_FRAMES": _at_least(1),
    "DATA.SAMPLING_RATE": _at_least(1),
    "DATA.TARGET_FPS": _above(0),
    "DATA.CLIP_DURATION": _above(0),
    "DATA.WINDOW_STRIDE": _at_least(1),
    "DATA.TRAIN_CROP_SIZE": _at_least(1),
    "DATA.TEST_CROP_SIZE": _at_least(1),
    "DATA.TEST_SHORT_SIDE": _at_least(1),
    "DATA.TRAIN_JITTER_SCALES": _range(1),
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": _range(1e-3),
    "DATA.MODALITY": _one_of("rgb", "flow"),
    "DATA.MEAN": _colour(zero=True),
    "DATA.STD": _colour(zero=False),
    "DATA.MAX_BAD_FRACTION": _between(0, 1),
    "AUG.COLOR_JITTER": _between(0, 1),
    "DATA_LOADER.NUM_WORKERS": _at_least(0),
    "OBJECTIVE.LABEL_SMOOTHING": _below_one(),
    "TRAIN.BATCH_SIZE": _at_least(1),
    "TRAIN.ACCUMULATE_STEPS": _at_least(1),
    "TRAIN.RESUME_CHANGED": _texts(),
    "TRAIN.CHECKPOINT_PERIOD": _at_least(1),
    "TRAIN.CHECKPOINT_MINUTES": _at_least(0),
    "TRAIN.CHECKPOINT_KEEP": _at_least(0),
    "TRAIN.EVAL_PERIOD": _at_least(0),
    "SOLVER.OPTIMIZING_METHOD": _one_of("sgd", "adam", "adamw"),
    "SOLVER.BASE_LR": _above(0),
    "SOLVER.LR_POLICY": _one_of("cosine", "steps_with_relative_lrs"),
    "SOLVER.COSINE_END_LR": _at_least(0),
    "SOLVER.MAX_EPOCH": _above(0),
    "SOLVER.WARMUP_EPOCHS": _at_least(0),
    "SOLVER.WARMUP_START_LR": _at_least(0),
    "SOLVER.MOMENTUM": _below_one(),
    "SOLVER.WEIGHT_DECAY": _at_least(0),
    "SOLVER.CLIP_GRAD_VAL": _above(0),
    "SOLVER.CLIP_GRAD_L2NORM": _above(0),
    "STUDENT.NUM_FRAMES": _at_least(0),
    "BN.NUM_BATCHES_PRECISE": _at_least(1),
    "TEST.BATCH_SIZE": _at_least(1),
    "TEST.NUM_ENSEMBLE_VIEWS": _at_least(1),
    "TEST.NUM_SPATIAL_CROPS": _one_of(1, 3),
    "BIAS.EVALUATORS": _texts(),
    "BIAS.FREEZE_FRAME": _one_of("first", "middle", "random"),
    "BIAS.BOOTSTRAP_SAMPLES": _at_least(100),
    "SLURM.NODES": _at_least(1),
    "SLURM.GPUS_PER_NODE": _at_least(0),
    "SLURM.TASKS_PER_NODE": _at_least(1),
    "SLURM.CPUS_PER_TASK": _at_least(0),
    "SLURM.MEM_GB": _at_least(0),
    "SLURM.TIME": (_is_time_limit, "must be minutes ('90'), 'HH:MM:SS', 'D-HH' or 'D-HH:MM:SS'"),
    "SLURM.SIGNAL_DELAY": _at_least(30),
    "SLURM.MAX_TIMEOUTS": _at_least(0),
    "SLURM.SETUP": _texts(),
    "SLURM.SRUN_ARGS": _texts(),
    "SLURM.SBATCH": _texts(),
}
_RULES |= {f"STUDENT.{key}": rule for key, rule in _RULES.items() if key.startswith("SOLVER.")}

_REGISTERED: dict[str, Registry] = {
    "DATA.MODULATION": MODULATION,
    "OBJECTIVE.NAME": OBJECTIVE,
    "TRAIN.DATASET": DATASET,
    "TEST.DATASET": DATASET,
    "BIAS.EVALUATORS": EVALUATOR,
}

#: Pairs that must be ordered: the first may not exceed the second. None on either side is filled consistently later.
_ORDERED = (
    ("DATA.TEST_CROP_SIZE", "DATA.TEST_SHORT_SIDE", "a crop cannot be larger than the frame it is taken from"),
    ("DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE", "the model is built for the training crop and cannot see less"),
    ("SOLVER.WARMUP_EPOCHS", "SOLVER.MAX_EPOCH", "the warm-up is part of the training"),
    ("STUDENT.SOLVER.WARMUP_EPOCHS", "STUDENT.SOLVER.MAX_EPOCH", "the warm-up is part of the training"),
)


def check(cfg: CfgNode, origins: Mapping[str, str] | None = None) -> None:
    """Check values, their relations, and registered names.

    Args:
        cfg: a configuration, completed or not (None is not checked).
        origins: where each key that is not at its default comes from, for messages.

    Raises:
        ConfigError: naming the key, its value and where it comes from.
    """
    origins = origins or {}

    def fail(key: str, what: str) -> None:
        raise ConfigError(f"{origins.get(key, 'default')}: {key} = {value_of(cfg, key)!r} {what}")

    for key, (holds, what) in _RULES.items():
        value = value_of(cfg, key)
        if value is not None and not holds(value):
            fail(key, what)
    for small, large, why in _ORDERED:
        low, high = value_of(cfg, small), value_of(cfg, large)
        if low is not None and high is not None and low > high:
            fail(small, f"is larger than {large} = {high!r} ({origins.get(large, 'default')}): {why}")
    _check_relations(cfg, fail)
    for key, registry in _REGISTERED.items():
        value = value_of(cfg, key)
        for name in value if isinstance(value, list) else [value]:
            with _found_for(key, origins):
                registry.get(name)
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
    if areas and not _range(1e-6, 1)[0](areas):
        fail("DATA.TRAIN_JITTER_SCALES_RELATIVE", "must be empty or [min, max] with 0 < min <= max <= 1")
    if cfg.TRAIN.CHECKPOINT_BEST and not cfg.TRAIN.EVAL_PERIOD:
        fail("TRAIN.CHECKPOINT_BEST", "needs validations: set TRAIN.EVAL_PERIOD")
    if cfg.DATA.MODALITY == "flow" and cfg.AUG.COLOR_JITTER:
        fail("AUG.COLOR_JITTER", "cannot be had with DATA.MODALITY 'flow': a vector has no colour")
    if minutes(cfg.SLURM.TIME) * 60 < cfg.SLURM.SIGNAL_DELAY + 120:
        fail("SLURM.TIME", f"leaves no time to work before the signal, SLURM.SIGNAL_DELAY = {cfg.SLURM.SIGNAL_DELAY} s")
    _check_solver(cfg.SOLVER, lambda name, what: fail(f"SOLVER.{name}", what))
    _check_solver(student_solver(cfg), lambda name, what: fail(f"STUDENT.SOLVER.{name}", what))


def student_solver(cfg: CfgNode) -> CfgNode:
    """``STUDENT.SOLVER`` with what it leaves open as in ``SOLVER``."""
    own = {name: value for name, value in cfg.STUDENT.SOLVER.items() if value is not None}
    return CfgNode({**cfg.SOLVER, **own})


def _check_solver(solver: CfgNode, fail: Callable[[str, str], None]) -> None:
    if len(solver.STEPS) != len(solver.LRS) or not solver.STEPS or solver.STEPS[0] != 0:
        fail("STEPS", f"must start with 0 and have as many entries as LRS = {solver.LRS!r}")
    if not _numbers(solver.STEPS) or list(solver.STEPS) != sorted(solver.STEPS):
        fail("STEPS", "must be epochs in ascending order")
    if not _numbers(solver.LRS) or min(solver.LRS) < 0:
        fail("LRS", "must be factors of at least 0")
    if solver.CLIP_GRAD_VAL is not None and solver.CLIP_GRAD_L2NORM is not None:
        fail("CLIP_GRAD_VAL", "and CLIP_GRAD_L2NORM are both set: choose one")
    if not (_numbers(solver.BETAS) and len(solver.BETAS) == 2 and all(0 <= beta < 1 for beta in solver.BETAS)):
        fail("BETAS", "must be two numbers in [0, 1)")


def value_of(cfg: CfgNode, key: str) -> Any:
    """The value at a dotted key."""
    return reduce(lambda node, name: node[name], key.split("."), cfg)
