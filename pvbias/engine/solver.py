"""Optimizer, learning-rate schedule and gradient clipping, from the keys of ``SOLVER``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    LinearParamScheduler,
    ParamScheduler,
)
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import ConfigError, did_you_mean
from ..transfers import is_asynchronous

#: The end of a run as fvcore's schedulers take it: some of them refuse 1.
_END = 1 - 1e-9

#: ``lr_at_epoch(fractional epoch) -> learning rate``
LRSchedule = Callable[[float], float]


def build_optimizer(
    solver_cfg: CfgNode, modules: Mapping[str, nn.Module], lr_factors: Mapping[str, float] | None = None
) -> Optimizer:
    """Build the optimizer of one phase. Each of its parameter groups has an ``lr_factor``, for whoever sets its rate.

    Args:
        solver_cfg: a subtree with the keys of ``SOLVER``.
        modules: whose parameters it updates, by name; a parameter that requires no gradient is left out, one that
            several modules share is taken once.
        lr_factors: of modules whose learning rate is not the schedule's, by name.

    Raises:
        ConfigError: an unknown ``OPTIMIZING_METHOD``, or nothing to train.
    """
    parameters = trainable_parameters(modules)
    if not parameters:
        raise ConfigError(
            f"There is nothing to train: every parameter of {', '.join(modules) or 'no module'} is frozen. "
            "Check MODEL.FREEZE and BN.FREEZE."
        )
    alike: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        exempt = solver_cfg.ZERO_WD_1D_PARAM and (parameter.dim() <= 1 or name.endswith(".bias"))
        factor = (lr_factors or {}).get(name.split(".")[0], 1.0)
        alike.setdefault((factor, 0.0 if exempt else solver_cfg.WEIGHT_DECAY), []).append(parameter)
    groups = [{"params": group, "weight_decay": decay, "lr_factor": factor} for (factor, decay), group in alike.items()]
    return _kept_fused(_optimizer(solver_cfg, groups, fused=_fused([*parameters.values()])))


def _optimizer(solver_cfg: CfgNode, groups: list[dict[str, Any]], *, fused: bool | None) -> Optimizer:
    method, lr = solver_cfg.OPTIMIZING_METHOD, solver_cfg.BASE_LR
    if method == "sgd":
        nesterov = solver_cfg.NESTEROV and solver_cfg.MOMENTUM > 0  # torch refuses Nesterov's form of no momentum
        return torch.optim.SGD(groups, lr=lr, momentum=solver_cfg.MOMENTUM, nesterov=nesterov, fused=fused)
    if method == "adam":
        return torch.optim.Adam(groups, lr=lr, betas=tuple(solver_cfg.BETAS), fused=fused)
    if method == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=tuple(solver_cfg.BETAS), fused=fused)
    hint = did_you_mean(method, ("sgd", "adam", "adamw"))
    raise ConfigError(f"SOLVER.OPTIMIZING_METHOD: there is no optimizer {method!r}. {hint}")


def _fused(parameters: Sequence[nn.Parameter]) -> bool | None:
    """Whether torch's fused kernels make the steps: where values are read late, since no others can be told on the
    device to leave the weights as they are. On the CPU torch chooses."""
    return True if all(is_asynchronous(parameter.device) for parameter in parameters) else None


def _kept_fused(optimizer: Optimizer) -> Optimizer:
    """The optimizer itself, which stays fused or not whatever the checkpoint that is loaded into it says."""
    fused = optimizer.defaults["fused"]

    def prepare(optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            group["fused"] = fused
            for parameter in group["params"] if fused else ():
                _lay_out(optimizer.state[parameter], parameter, has_momentum=group.get("momentum", 0) > 0)

    prepare(optimizer)
    optimizer.register_load_state_dict_post_hook(prepare)
    return optimizer


def _lay_out(state: dict[str, Any], parameter: nn.Parameter, *, has_momentum: bool) -> None:
    """Make a parameter's state what torch's fused kernels take: on its device, and laid out as it is."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            state[name] = torch.empty_like(parameter).copy_(value)
        elif isinstance(value, Tensor):  # the number of steps
            state[name] = value.to(parameter.device, torch.float32)
    if has_momentum and state.get("momentum_buffer") is None:
        # SGD would take memory as it finds it, and a first step that is skipped (found_inf) leave it so; nor could a
        # parameter get its first gradient after the others.
        state["momentum_buffer"] = torch.zeros_like(parameter)


def trainable_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by dotted name, each once."""
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters(prefix):
            if parameter.requires_grad:
                found.setdefault(id(parameter), (name, parameter))
    return dict(found.values())


def build_lr_schedule(solver_cfg: CfgNode, *, num_shards: int = 1) -> LRSchedule:
    """Build the learning rate as a function of the fractional epoch, with SlowFast's meaning of ``LR_POLICY``.

    - ``cosine``: from ``BASE_LR`` at epoch 0 to ``COSINE_END_LR`` at ``MAX_EPOCH``, half a period.
    - ``steps_with_relative_lrs``: ``BASE_LR * LRS[i]`` from epoch ``STEPS[i]`` on.
    - warm-up: in the first ``WARMUP_EPOCHS`` a straight line from ``WARMUP_START_LR`` to what the policy gives at their
      end.

    Beyond ``MAX_EPOCH`` the last rate stays.

    Args:
        solver_cfg: a subtree with the keys of ``SOLVER``.
        num_shards: ``NUM_SHARDS``; multiplies both rates where ``BASE_LR_SCALE_NUM_SHARDS`` says so.

    Raises:
        ConfigError: an unknown ``LR_POLICY``.
    """
    scale = num_shards if solver_cfg.BASE_LR_SCALE_NUM_SHARDS else 1
    base_lr, max_epoch = solver_cfg.BASE_LR * scale, solver_cfg.MAX_EPOCH
    if solver_cfg.LR_POLICY == "cosine":
        policy: ParamScheduler = CosineParamScheduler(base_lr, solver_cfg.COSINE_END_LR)
    elif solver_cfg.LR_POLICY == "steps_with_relative_lrs":
        policy = _steps(solver_cfg.STEPS, [base_lr * factor for factor in solver_cfg.LRS], max_epoch)
    else:
        hint = did_you_mean(solver_cfg.LR_POLICY, ("cosine", "steps_with_relative_lrs"))
        raise ConfigError(f"SOLVER.LR_POLICY: there is no policy {solver_cfg.LR_POLICY!r}. {hint}")
    warm = min(solver_cfg.WARMUP_EPOCHS / max_epoch, 1.0)
    if warm > 0:
        warm_up = LinearParamScheduler(solver_cfg.WARMUP_START_LR * scale, policy(min(warm, _END)))
        policy = CompositeParamScheduler([warm_up, policy], [warm, 1 - warm], ["rescaled", "fixed"])
    return lambda epoch: policy(min(epoch / max_epoch, _END))


def _steps(starts: Sequence[float], rates: Sequence[float], max_epoch: float) -> ParamScheduler:
    """A piecewise constant schedule. fvcore's own MultiStepParamScheduler takes neither fractional epochs nor more
    steps than epochs."""
    reached = [(start, rate) for start, rate in zip(starts, rates, strict=True) if start < max_epoch]
    edges = [*(start for start, _ in reached), max_epoch]
    lengths = [(stop - start) / max_epoch for start, stop in pairwise(edges)]
    pieces = [ConstantParamScheduler(rate) for _, rate in reached]
    return CompositeParamScheduler(pieces, lengths, ["fixed"] * len(pieces))


def clip_gradients(solver_cfg: CfgNode, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Clip gradients in place as ``CLIP_GRAD_VAL`` or ``CLIP_GRAD_L2NORM`` says.

    Returns:
        Their L2 norm ``()`` before clipping, on their device, also when nothing is clipped: it is not finite where a
        step would ruin the weights.
    """
    max_norm = solver_cfg.CLIP_GRAD_L2NORM
    norm = nn.utils.clip_grad_norm_(parameters, float("inf") if max_norm is None else max_norm)
    if solver_cfg.CLIP_GRAD_VAL is not None:
        nn.utils.clip_grad_value_(parameters, solver_cfg.CLIP_GRAD_VAL)
    return norm
