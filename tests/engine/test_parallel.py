"""Averaging gradients over processes, of which the other is made up: what it sends is added to what this one sends."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pvbias.engine import parallel
from pvbias.engine.parallel import GradientAverage
from pvbias.errors import TrainingError

from ..waits import DEVICE, Waits


class Work:
    def wait(self):
        return True


@pytest.fixture
def other(monkeypatch):
    """What this process has sent, a bucket at a time, and what the other one sends (its last for all that follow)."""
    sent, others = [], [0.0]

    def all_reduce(flat, async_op):
        assert async_op
        sent.append(flat.clone())
        flat += others[min(len(sent), len(others)) - 1]
        return Work()

    monkeypatch.setattr(parallel, "get_world_size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "all_reduce", all_reduce)
    return sent, others


def parameters(number=3):
    return [nn.Parameter(torch.full((2, 1), float(index + 1))) for index in range(number)]


def test_means_of_gradients_and_of_those_that_one_process_lacks(other):
    """Three parameters in one bucket, the last first: here the loss reaches the first two, there the last two."""
    sent, others = other
    first, second, third = parameters()
    average = GradientAverage([first, second, third])
    others[0] = torch.tensor([8.0, 8.0, 6.0, 6.0, 0.0, 0.0, 1.0, 1.0, 0.0])  # of the third, the second, the first
    with average.exchanging():
        (first.sum() + 2 * second.sum()).backward()
    average.finish()
    (flat,) = sent
    assert flat.tolist() == [0, 0, 2, 2, 1, 1, 0, 1, 1]
    assert [p.grad.flatten().tolist() for p in (first, second, third)] == [[0.5, 0.5], [4, 4], [4, 4]]


def test_what_no_process_reaches_has_no_gradient(other):
    first, second, _ = parameters()
    average = GradientAverage([first, second])
    with average.exchanging():
        (3 * first).sum().backward()
    average.finish()
    assert second.grad is None
    assert first.grad.flatten().tolist() == [1.5, 1.5]


def test_buckets_go_out_in_order_while_the_backward_pass_goes_on(other, monkeypatch):
    """The gradient of the first parameter comes last; those of another kind of number have a bucket of their own."""
    sent, _ = other
    monkeypatch.setattr(parallel, "_BUCKET_BYTES", 8)
    first, second, third = (nn.Parameter(torch.ones(2)) for _ in range(3))
    double = nn.Parameter(torch.ones(2, dtype=torch.float64))
    average = GradientAverage([first, double, second, third])
    seen = []
    first.register_hook(lambda _: seen.append(len(sent)))
    with average.exchanging():
        (((first.double() * double).float() * second) * third).sum().backward()
        assert [flat.dtype for flat in sent] == [torch.float32, torch.float32, torch.float64, torch.float32]
    assert seen == [3]
    average.finish()
    assert len(sent) == 4


def test_accumulated_gradients_are_sent_once(other):
    sent, _ = other
    (first,) = parameters(1)
    average = GradientAverage([first])
    for is_last in (False, False, True):
        with average.exchanging(active=is_last):
            first.sum().backward()
    average.finish()
    (flat,) = sent
    assert flat.tolist() == [3, 3, 1]
    assert first.grad.flatten().tolist() == [1.5, 1.5]


def test_a_gradient_in_two_parts_is_an_error(other):
    """A layer that is used twice, each time with checkpointing of the old kind."""
    layer = nn.Linear(2, 2)
    average = GradientAverage(list(layer.parameters()))
    clip = torch.ones(1, 2, requires_grad=True)
    with average.exchanging(), pytest.raises(TrainingError, match="use_reentrant=True: set it to False"):
        checkpoint(layer, checkpoint(layer, clip, use_reentrant=True), use_reentrant=True).sum().backward()


@pytest.mark.parametrize("reached", [2, 1])
def test_the_device_is_asked_only_where_a_gradient_is_missing(other, reached):
    """Another process may have it."""
    layers = [nn.Linear(2, 2, bias=False, device=DEVICE) for _ in range(2)]
    average = GradientAverage([layer.weight for layer in layers])
    with Waits() as found:
        with average.exchanging():
            sum(layer.weight.sum() for layer in layers[:reached]).backward()
        average.finish()
    assert len(found.waits) == 2 - reached


def test_one_process_averages_nothing():
    (first,) = parameters(1)
    average = GradientAverage([first])
    with average.exchanging():
        first.sum().backward()
    average.finish()
    assert first.grad.flatten().tolist() == [1, 1]
