"""Channels are joined as torch joins them."""

import torch

from pvbias.layers import concatenate


def test_on_a_cpu_in_both_formats():
    features = [torch.rand(2, channels, 3, 4, 5) for channels in (3, 1, 8)]
    assert torch.equal(concatenate(features), torch.cat(features, dim=1))
    last = [each.contiguous(memory_format=torch.channels_last_3d) for each in features]
    assert torch.equal(concatenate(last), torch.cat(features, dim=1))
