"""BatchNorm with what follows it is torch's, in float64: output, all gradients, running statistics."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.layers.batch_norm import batch_norm, forward_as_4d, is_supported

from .reference import assert_same, both

ACTIVATIONS = {"": lambda x: x, "relu": F.relu, "silu": F.silu}


def layer(channels=6, training=True, **options):
    torch.manual_seed(0)
    norm = nn.BatchNorm3d(channels, **options).train(training)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    if norm.running_mean is not None:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return norm


class Applied(nn.Module):
    """A BatchNorm, a shortcut, an activation."""

    def __init__(self, norm, activation, fast):
        super().__init__()
        self.norm, self.activation, self.fast = norm, activation, fast

    def forward(self, x, residual=None):
        if self.fast:
            return batch_norm(x, self.norm, residual=residual, activation=self.activation)
        y = self.norm(x)
        return ACTIVATIONS[self.activation](y if residual is None else y + residual)


def clip(*shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2 + 3
    return values.contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("shape", "activation", "shortcut", "training"),
    [
        ((2, 6, 3, 3, 5), "", False, True),
        ((1, 54, 2, 4, 4), "relu", False, True),  # several positions to a row
        ((2, 130, 1, 3, 3), "relu", True, True),  # more channels than a block
        ((2, 24, 1, 4, 3), "silu", False, True),
        ((1, 7, 1, 3, 3), "", True, True),  # an odd number of positions
        ((2, 6, 2, 3, 3), "relu", True, False),
        ((2, 6, 2, 3, 3), "silu", False, False),
        ((40, 8, 2, 4, 4), "relu", True, True),  # several splits
    ],
)
def test_results_and_gradients(interpreter, shape, activation, shortcut, training):
    norm = layer(shape[1], training)
    plain = copy.deepcopy(norm).double()
    given = [clip(*shape), *([clip(*shape).flip(0)] if shortcut else [])]
    assert is_supported(given[0], norm)
    assert_same(Applied(norm, activation, True), Applied(plain, activation, False), *given)
    assert torch.allclose(norm.running_mean.double(), plain.running_mean, rtol=1e-5, atol=1e-6)
    assert torch.allclose(norm.running_var.double(), plain.running_var, rtol=1e-5)
    assert norm.num_batches_tracked == plain.num_batches_tracked


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_kinds_of_layers(interpreter, options):
    norm = layer(**options)
    plain = copy.deepcopy(norm).double()
    for _ in range(2):  # the cumulative average changes
        assert_same(Applied(norm, "relu", True), Applied(plain, "relu", False), clip(2, 6, 2, 3, 3))
        norm.zero_grad()
        plain.zero_grad()
    for name, value in plain.named_buffers():
        assert torch.allclose(norm.get_buffer(name).double(), value.double(), rtol=1e-5, atol=1e-6)


def test_a_mean_far_from_zero_costs_no_digits(interpreter):
    x = clip(2, 6, 2, 5, 5) + 1000
    norm = layer()
    assert_same(Applied(norm, "", True), Applied(copy.deepcopy(norm).double(), "", False), x, tolerance=2e-4)


def test_only_what_is_asked_for_gets_gradients(interpreter):
    norm, x = layer(), clip(1, 6, 1, 3, 3)
    norm.weight.requires_grad_(False)
    batch_norm(x, norm).sum().backward()
    assert norm.weight.grad is None
    assert torch.allclose(norm.bias.grad, torch.full((6,), 9.0))
    norm.eval().requires_grad_(False)
    x.requires_grad_()
    batch_norm(x, norm).sum().backward()
    expected = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert torch.allclose(x.grad, expected.view(1, 6, 1, 1, 1).expand_as(x), rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
def test_nan(interpreter, training, shortcut):
    norm, x = layer(training=training), clip(2, 6, 1, 2, 2)
    x[0, 1, 0, 1, 1] = float("nan")
    plain = copy.deepcopy(norm).double()
    given = [x, *([clip(2, 6, 1, 2, 2)] if shortcut else [])]
    found, expected = both(Applied(norm, "relu", True), Applied(plain, "relu", False), *given)
    for name, values in expected.items():
        assert torch.allclose(found[name].double(), values, atol=1e-4, equal_nan=True), name


def test_a_single_value_of_each_channel_has_no_statistics(interpreter):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_norm(clip(1, 6, 1, 1, 1), layer())


@pytest.mark.parametrize(
    "x", [torch.rand(2, 6, 2, 3, 3), clip(2, 6, 2, 3, 3).double(), torch.rand(2, 6, 3, 3), clip(2, 8, 2, 3, 3)]
)
def test_what_is_left_to_torch(interpreter, x):
    assert not is_supported(x, layer())


def test_parameters_that_are_left_to_torch(interpreter):
    x, norm = clip(2, 6, 2, 3, 3), layer()
    norm.bias = None
    assert not is_supported(x, norm)
    assert not is_supported(x, layer().bfloat16())


@pytest.mark.parametrize("training", [True, False])
def test_parameters_that_lie_apart(interpreter, training):
    norm = layer(training=training)
    plain = copy.deepcopy(norm).double()
    norm.weight = nn.Parameter(torch.stack([norm.weight.detach()] * 2, dim=1)[:, 0])
    if not training:
        norm.running_var = torch.stack([norm.running_var] * 2, dim=1)[:, 0]
    assert_same(Applied(norm, "silu", True), Applied(plain, "silu", False), clip(2, 6, 1, 2, 3))


def test_nothing_is_done_otherwise_on_a_cpu(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    x, norm = clip(2, 6, 2, 3, 3), layer()
    assert not is_supported(x, norm)
    assert torch.equal(forward_as_4d(norm, x), copy.deepcopy(norm)(x))
