import math

import pytest
import torch
from torch import nn

from pvbias.engine.solver import build_lr_schedule, build_optimizer, clip_gradients
from pvbias.errors import ConfigError

from .toys import TinyNet, make_cfg


def solver(*overrides):
    return make_cfg("unused", *overrides).SOLVER


def slowfast_lr(cfg, epoch):
    """SlowFast's rule, written out: the policy, and a line up to it while warming up."""

    def policy(at):
        if cfg.LR_POLICY == "cosine":
            end = cfg.COSINE_END_LR
            return end + (cfg.BASE_LR - end) * (math.cos(math.pi * at / cfg.MAX_EPOCH) + 1) / 2
        return cfg.BASE_LR * [lr for step, lr in zip(cfg.STEPS, cfg.LRS, strict=True) if at >= step][-1]

    if epoch >= cfg.WARMUP_EPOCHS:
        return policy(epoch)
    slope = (policy(cfg.WARMUP_EPOCHS) - cfg.WARMUP_START_LR) / cfg.WARMUP_EPOCHS
    return cfg.WARMUP_START_LR + slope * epoch


@pytest.mark.parametrize("warm_up", [0.0, 2.5])
@pytest.mark.parametrize("policy", ["cosine", "steps_with_relative_lrs"])
def test_schedule_is_slowfasts(policy, warm_up):
    cfg = solver("SOLVER.LR_POLICY", policy, "SOLVER.WARMUP_EPOCHS", warm_up, "SOLVER.MAX_EPOCH", 10.0)
    cfg.COSINE_END_LR, cfg.STEPS, cfg.LRS = 0.002, [0, 4, 8, 12], [1.0, 0.1, 0.01, 0.001]
    schedule = build_lr_schedule(cfg)
    for step in range(70):
        assert schedule(step / 7) == pytest.approx(slowfast_lr(cfg, step / 7), rel=1e-9), step / 7
    assert schedule(11.0) == pytest.approx(schedule(10.0))


def test_fewer_epochs_than_steps():
    cfg = solver("SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.MAX_EPOCH", 1.5)
    cfg.STEPS, cfg.LRS = [0, 0.5, 1], [1.0, 0.5, 0.25]
    assert [build_lr_schedule(cfg)(epoch) for epoch in (0.0, 0.5, 1.25)] == pytest.approx([0.1, 0.05, 0.025])


def test_rates_scale_with_the_number_of_machines_when_asked():
    cfg = solver("SOLVER.WARMUP_EPOCHS", 1.0, "SOLVER.BASE_LR_SCALE_NUM_SHARDS", True)
    assert build_lr_schedule(cfg, num_shards=4)(0.0) == pytest.approx(4 * cfg.WARMUP_START_LR)
    cfg.BASE_LR_SCALE_NUM_SHARDS = False
    assert build_lr_schedule(cfg, num_shards=4)(0.0) == pytest.approx(cfg.WARMUP_START_LR)


@pytest.mark.parametrize(
    ("method", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(method, kind):
    cfg = solver("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BETAS", [0.5, 0.6])
    optimizer = build_optimizer(cfg, {"net": TinyNet()})
    assert type(optimizer) is kind
    assert optimizer.defaults.get("betas", (0.5, 0.6)) == (0.5, 0.6)


def test_no_decay_on_norms_and_biases():
    net = TinyNet(norm=True)
    cfg = solver("SOLVER.ZERO_WD_1D_PARAM", True, "SOLVER.WEIGHT_DECAY", 0.5)
    optimizer = build_optimizer(cfg, {"net": net})
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    decayed = {name for name, parameter in net.named_parameters() if decay[id(parameter)] == 0.5}
    assert decayed == {"conv.weight", "proj.weight"}
    assert len(decay) == 6


def test_frozen_parameters_are_left_out_and_shared_ones_taken_once():
    net = TinyNet()
    net.conv.requires_grad_(False)
    optimizer = build_optimizer(solver(), {"net": net, "again": net.proj})
    assert [p.shape for p in optimizer.param_groups[0]["params"]] == [net.proj.weight.shape, net.proj.bias.shape]
    net.requires_grad_(False)
    with pytest.raises(ConfigError, match=r"every parameter of net is frozen"):
        build_optimizer(solver(), {"net": net})


def test_unknown_names_are_explained():
    with pytest.raises(ConfigError, match=r"SOLVER.OPTIMIZING_METHOD.*'adanw'.*Did you mean 'adamw'"):
        build_optimizer(solver("SOLVER.OPTIMIZING_METHOD", "adanw"), {"net": TinyNet()})
    with pytest.raises(ConfigError, match=r"SOLVER.LR_POLICY.*Did you mean 'cosine'"):
        build_lr_schedule(solver("SOLVER.LR_POLICY", "cosin"))


def test_clipping():
    def gradient(*overrides):
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([3.0, -4.0])
        norm = clip_gradients(solver(*overrides), [parameter])
        return norm, parameter.grad.tolist()

    assert gradient() == (5.0, [3.0, -4.0])
    assert gradient("SOLVER.CLIP_GRAD_VAL", 3.5) == (5.0, [3.0, -3.5])
    norm, clipped = gradient("SOLVER.CLIP_GRAD_L2NORM", 1.0)
    assert norm == 5.0
    assert clipped == pytest.approx([0.6, -0.8], abs=1e-5)
