"""Features of frozen clips are those of the whole clips, which ordinary tensors say: by random networks, in float64."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.layers import FrozenFeatures, repeat_frame
from pvbias.models.batch_norm import freeze_running_stats


def frame(num_clips=2, channels=4, side=6, dtype=torch.float64, seed=0):
    return torch.randn(num_clips, channels, 1, side, side, generator=torch.Generator().manual_seed(seed)).to(dtype)


@torch.no_grad()
def both(times=9, **options):
    """Features of frozen clips, and the same as an ordinary tensor."""
    given = frame(**options)
    return repeat_frame(given, times), torch.cat([given] * times, dim=2)


def equal(features, expected):
    return features.shape == expected.shape and torch.equal(features.clone(), expected)


class Residual(nn.Sequential):
    def forward(self, x):
        return F.relu(super().forward(x).add_(x), inplace=True)


class SqueezeExcitation(nn.Sequential):
    def forward(self, x):
        return x * super().forward(x).sigmoid()


class Branches(nn.ModuleList):
    def forward(self, x):
        return torch.cat([branch(x) for branch in self], dim=1)


class Padded(nn.Module):
    def __init__(self, *padding):
        super().__init__()
        self.padding = padding

    def forward(self, x):
        return F.pad(x, self.padding)


def random_layer(draw, width):
    """A layer of features that keeps their ``width``."""
    kind = draw.choice(["convolution"] * 5 + ["pool", "pool", "norm", "norm", "residual", "squeeze", "branches", "pad"])
    if kind == "convolution":
        kernel = draw.randint(1, 7)
        spatial = draw.choice([1, 3])
        return nn.Conv3d(
            width,
            width,
            (kernel, spatial, spatial),
            stride=(draw.choice([1, 1, 2]), 1, 1),
            padding=draw.choice(["same", (kernel // 2, spatial // 2, spatial // 2), (kernel // 2, spatial // 2, 1)]),
            dilation=(draw.choice([1, 1, 2]), 1, 1),
            groups=draw.choice([1, 1, 2, width]),
            bias=draw.random() < 0.5,
            padding_mode=draw.choice(["zeros"] * 5 + ["replicate"]),
        )
    if kind == "pool":
        kernel, stride, more = draw.randint(1, 3), draw.choice([None, 1, 2]), {"ceil_mode": draw.random() < 0.5}
        pool = draw.choice([nn.MaxPool3d, nn.AvgPool3d])
        if pool is nn.AvgPool3d:
            more["count_include_pad"] = draw.random() < 0.5
        return pool((kernel, 1, 1), None if stride is None else (stride, 1, 1), (kernel // 2, 0, 0), **more)
    if kind == "norm":
        activation = draw.choice([nn.ReLU(inplace=True), nn.SiLU(), nn.PReLU(), nn.Hardswish(inplace=True), nn.ELU()])
        return nn.Sequential(nn.BatchNorm3d(width), activation)
    kernel = draw.choice([1, 3, 5])
    keeping = nn.Conv3d(width, width, (kernel, 3, 3), padding="same")
    if kind == "residual":
        return Residual(keeping, nn.BatchNorm3d(width))
    if kind == "squeeze":
        return SqueezeExcitation(nn.AdaptiveAvgPool3d(1), nn.Conv3d(width, width, 1))
    if kind == "branches":
        pool = nn.MaxPool3d(3, stride=1, padding=1)
        return nn.Sequential(Branches([keeping, pool]), nn.Conv3d(2 * width, width, 1))
    return Padded(0, 0, 0, 0, draw.randint(0, 2), draw.randint(0, 2))


def random_network(seed, width=4):
    """A network of layers that fit one another, and the number of frames of the clips that it takes."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    times = draw.randint(4, 32)
    layers = nn.Sequential()
    features = torch.randn(1, width, times, 6, 6, dtype=torch.float64)
    while len(layers) < 6:
        try:
            layer = random_layer(draw, width).double().eval()
            with torch.no_grad():
                features = layer(features)
        except (RuntimeError, ValueError):  # a kernel that is longer than the clip; padding "same" with strides
            continue
        layers.append(layer)
    for value in (*layers.parameters(), *layers.buffers()):
        if value.dim() == 1:  # factors, shifts and statistics that say something
            value.data.uniform_(0.5, 1.5)
    return layers, times


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_random_networks(training, layout):
    spared = 0
    for seed in range(30):
        network, times = random_network(seed)
        network.train(training)
        given = frame(seed=seed).contiguous(memory_format=layout)
        with torch.no_grad(), freeze_running_stats(network):
            expected = network(torch.cat([given] * times, dim=2))
            found = network(repeat_frame(given, times))
        assert found.shape == expected.shape
        torch.testing.assert_close(found.clone(), expected, rtol=1e-12, atol=1e-12)
        spared += isinstance(found, FrozenFeatures)
    assert spared >= 8  # have frames that repeat to the end


@torch.no_grad()
def test_a_layer_runs_on_the_frames_that_differ():
    """Of 16 frames and 3x3x3 kernels; with stride 2 on 8, of which one more sees the padding at the left."""
    clips = []

    def seen(layer):
        return lambda clip: clips.append(clip.shape[2]) or layer(clip)

    layer, halving = nn.Conv3d(4, 4, 3, padding=1).double(), nn.Conv3d(4, 4, 3, stride=2, padding=1).double()
    features, _ = both(16)
    for left in (1, 2):
        features = features.slide(seen(layer), kernel_size=3, padding=1)
        assert (features.left, features.repeats, features.right) == (left, 16 - 2 * left, left)
    features = features.slide(seen(halving), kernel_size=3, stride=2, padding=1)
    assert (features.left, features.repeats, features.right) == (2, 5, 1)
    assert features.shape == (2, 4, 8, 3, 3)
    assert clips == [3, 5, 8]


@torch.no_grad()
def test_strides_and_memory_format_are_those_of_all_frames():
    convolution = nn.Conv3d(4, 4, 3, padding=1)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        features, expected = (x.contiguous(memory_format=layout) for x in both(dtype=torch.float32))
        for _ in range(3):
            assert isinstance(features, FrozenFeatures)
            assert features.stride() == features.whole().stride() == expected.stride()
            features = FrozenFeatures(features.frames, features.left, features.repeats)
            features, expected = convolution(features), convolution(expected)


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.relu_(),
        lambda x: x.add_(x * 2),
        lambda x: x.add_(nn.functional.avg_pool3d(x, (3, 1, 1), 1, (1, 0, 0))),
        lambda x: x.mul_(torch.arange(9.0).view(1, 1, 9, 1, 1)),
        lambda x: x[:, :2].neg_(),
        lambda x: x[:, :, 3].zero_(),
        lambda x: x.transpose(1, 2).relu_().neg_(),
        lambda x: x.detach().zero_(),
        lambda x: torch.add(x, 1, out=x),
        lambda x: x.zero_(),
    ],
)
def test_changes_in_place_are_seen_by_all_who_hold_it(change):
    features, expected = both()
    for x in (features, expected):
        change(x)
    assert equal(features, expected)
    for x in (features, expected):
        x.add_(1)
    assert equal(features, expected)


@torch.no_grad()
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(2),
        lambda x: x.cumsum(2),
        lambda x: x + torch.arange(9.0).view(9, 1, 1),
        lambda x: torch.cat([x, x * 2], dim=2),
        lambda x: torch.cat([x, torch.ones_like(x)], dim=1),
        lambda x: F.pad(x, (0, 0, 0, 0, -1, 2)),
        lambda x: F.pad(x, (1, 1, 1, 1, 1, 1), mode="replicate"),
        lambda x: F.max_pool3d(x, 3, return_indices=True)[1],
        lambda x: F.conv_transpose3d(x, torch.ones(4, 2, 3, 3, 3, dtype=x.dtype)),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: x.mean((0, 1)),
        lambda x: x.frexp()[1],
        lambda x: x.mean(),
        lambda x: torch.from_numpy(x.numpy()),
        lambda x: torch.tensor(x.tolist(), dtype=x.dtype),
    ],
)
def test_what_is_not_known_is_computed_on_all_frames(function):
    features, expected = (function(x) for x in both())
    torch.testing.assert_close(features.clone(), expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_dropout_leaves_out_what_it_leaves_out_of_all_frames():
    found = []
    for x in both():
        torch.manual_seed(0)
        found.append((F.dropout(x, 0.5).clone(), torch.rand(3)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("offset", [0, 10])
def test_batch_norm_of_half_precision(dtype, offset):
    """As near to the result in float64 as torch's own of all frames, whose statistics are in float32."""
    features, _ = both(dtype=dtype)
    features = F.pad(features, (0, 0, 0, 0, 1, 2)) + offset
    expected = F.batch_norm(features.whole().double(), None, None, training=True)
    assert not isinstance(expected, FrozenFeatures)
    known = FrozenFeatures(features.frames, features.left, features.repeats)
    found = F.batch_norm(known, None, None, training=True)
    assert isinstance(found, FrozenFeatures)
    torch.testing.assert_close(found.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@torch.no_grad()
def test_running_statistics_are_those_of_all_frames():
    layers = [nn.BatchNorm3d(4).double() for _ in range(2)]
    for layer, x in zip(layers, both(), strict=True):
        layer(F.pad(x, (0, 0, 0, 0, 1, 2)))
    for some, others in zip(*(layer.buffers() for layer in layers), strict=True):
        torch.testing.assert_close(some, others, rtol=1e-12, atol=1e-12)


def test_features_with_gradients_are_ordinary():
    given = frame().requires_grad_()
    repeated = repeat_frame(given, 5)
    assert not isinstance(repeated, FrozenFeatures)
    repeated.sum().backward()
    assert torch.equal(given.grad, torch.full_like(given, 5))
