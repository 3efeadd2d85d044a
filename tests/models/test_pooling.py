"""Pooling of the outputs of layers, convolutional and not."""

import pytest
import torch
from torch import nn
from torchvision.models.video import SwinTransformer3d

from pvbias.errors import ConfigError
from pvbias.models.pooling import pool


def some(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_maps_are_pooled_as_torch_does():
    maps = some(3, 10, 4, 7, 7)
    means = nn.AdaptiveAvgPool3d(1)(maps).flatten(1)
    torch.testing.assert_close(pool(maps, "all", num_frames=8), means)
    of_frames = nn.AdaptiveAvgPool2d(1)(maps[:, :, 2])[..., 0, 0]
    assert pool(maps, "space", num_frames=8).shape == (3, 4, 10)
    torch.testing.assert_close(pool(maps, "space", num_frames=8)[:, 2], of_frames)
    assert torch.equal(pool(maps, "none", num_frames=8)[1, 2, 3, 4], maps[1, :, 2, 3, 4])


@pytest.mark.parametrize("pooling", ["all", "space", "none"])
def test_channels_may_be_last(pooling):
    maps = some(3, 10, 4, 7, 7)
    last = maps.permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(pool(last, pooling, num_frames=8), pool(maps, pooling, num_frames=8))


def test_swin_gives_channels_last():
    """And its head sees the mean over all other dimensions."""
    swin = SwinTransformer3d([2, 4, 4], 12, [2], [2], [4, 7, 7], num_classes=5).eval()
    found = []
    swin.norm.register_forward_hook(lambda module, args, output: found.append(output))
    swin.head.register_forward_hook(lambda module, args, output: found.append(args[0]))
    with torch.no_grad():
        swin(some(2, 3, 8, 28, 28))
    torch.testing.assert_close(pool(found[0], "all", num_frames=8), found[1])


def test_vectors_and_tokens():
    assert torch.equal(pool(some(3, 10), "none", num_frames=8), some(3, 10))
    tokens = some(3, 50, 16)
    torch.testing.assert_close(pool((tokens, [4, 4, 3]), "all", num_frames=8), tokens.mean(1))
    assert torch.equal(pool(tokens, "none", num_frames=8), tokens)


def test_pathways_are_side_by_side():
    slow, fast = some(3, 10, 2, 7, 7), some(3, 4, 8, 7, 7)
    both = pool([slow, fast], "all", num_frames=8)
    torch.testing.assert_close(both, torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))


@pytest.mark.parametrize(
    ("value", "pooling"),
    [
        (some(3, 50, 8), "all"),  # tokens, or channels over time
        (some(3, 8, 4, 4, 4), "all"),  # which of the fours is the number of channels?
        (some(3, 10, 9, 7, 7), "all"),  # longer than the clip
        (some(3, 10, 4, 7, 6), "all"),
        (some(3, 10, 7, 7), "all"),
        (some(3, 50, 16), "space"),
        ([some(3, 10, 2, 7, 7), some(3, 4, 8, 7, 7)], "none"),
        ((some(3, 50, 16), some(3, 50, 50)), "all"),  # attention beside tokens
    ],
)
def test_what_is_not_clear_is_refused(value, pooling):
    with pytest.raises(ConfigError, match=r"'blocks\.3' gives"):
        pool(value, pooling, num_frames=8, layer="blocks.3")
