from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd import DeviceType

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.registries import MODEL
from pvbias.tools.roofline import Limits, Work, count_work, measure_limits, top_kernels
from pvbias.tools.timed_steps import PlainStep, TrainerStep

SPEC = ClipSpec(num_frames=2, sampling_rate=1, crop_size=16, test_crop_size=16, short_side=16)
INPUTS, CLASSES, CLIPS = 3 * 2 * 16 * 16, 400, 4


def linear(*, num_classes, num_frames, crop_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * num_frames * crop_size**2, num_classes))


@pytest.fixture
def plain():
    """A plain step of a single linear layer."""
    restore = MODEL.snapshot()
    MODEL.register(ZooModel(zoo="toys", build=linear, clip_spec=SPEC, head="1"), name="one_layer")
    try:
        keys = ["MODEL.MODEL_NAME", "one_layer", "TRAIN.BATCH_SIZE", str(CLIPS), "NUM_GPUS", "0", "PRECISION", "fp32"]
        return PlainStep(TrainerStep(keys), "contiguous")
    finally:
        restore()


def test_the_work_of_a_linear_layer(plain):
    before = [parameter.detach().clone() for parameter in plain.module.parameters()]
    work = count_work(plain)
    assert not plain.optimizer.state  # it has taken no step
    # Outputs and the gradient of the weights; the gradient of the clips, counted as one of three, is not needed here.
    assert work.flops == 3 * 2 * INPUTS * CLASSES * CLIPS
    # The weights are by far the largest: read in the forward; their gradient is written; momentum *= m reads and writes
    # it, momentum += gradient and weights -= rate * momentum read two and write one each.
    weights = 4 * INPUTS * CLASSES
    assert work.traffic == pytest.approx((1 + 1 + 2 + 3 + 3) * weights, rel=0.1)
    assert work.traffic > 10 * weights
    assert all(torch.equal(old, new) for old, new in zip(before, plain.module.parameters(), strict=True))
    plain()
    assert count_work(plain) == work


def test_shares_of_what_a_device_can_do():
    assert Work(flops=6e12, traffic=3e9).shares(2.0, Limits(flops=12e12, traffic=6e9)) == (0.25, 0.25)


def test_the_kernels_that_take_most(monkeypatch):
    """Not the calls that launch them, whose time torch may give, too; nor stretches that somebody has named."""

    def event(key, device, microseconds, *, named=False):
        times = {"self_device_time_total": microseconds, "is_user_annotation": named}
        return SimpleNamespace(key=key, device_type=device, count=6, **times)

    events = [
        event("short", DeviceType.CUDA, 100.0),
        event("long", DeviceType.CUDA, 9000.0),
        event("cudaLaunchKernel", DeviceType.CPU, 9100.0),
        event("Optimizer.step", DeviceType.CUDA, 200.0, named=True),
        event("idle", DeviceType.CUDA, 0.0),
    ]
    profile = SimpleNamespace(key_averages=lambda: events)
    monkeypatch.setattr(torch.profiler, "profile", lambda activities: nullcontext(profile))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    long, short = top_kernels(lambda: None, steps=3)
    assert (long.name, long.calls, long.milliseconds) == ("long", 2, 3)
    assert short.name == "short"


def test_limits_are_measured():
    limits = measure_limits(torch.device("cpu"), "fp32")
    assert 1e8 < limits.flops < 1e14
    assert 1e8 < limits.traffic < 1e13
