"""BatchNorm's running statistics, frozen for a while."""

import torch
from torch import nn

from pvbias.models.batch_norm import freeze_running_stats


def test_statistics_stand_still_inside_and_go_on_afterwards():
    """Whatever mode the layers are in, and those without statistics stay without."""
    layers = nn.Sequential(nn.BatchNorm3d(2), nn.BatchNorm3d(2, track_running_stats=False), nn.BatchNorm3d(2).eval())
    features = torch.randn(4, 2, 3, 3, 3) + 5
    with freeze_running_stats(layers):
        normalised = layers[0](features)
        assert layers[0].running_mean.tolist() == [0, 0]
        assert normalised.mean().abs() < 1e-5  # by the mini-batch's own statistics
    assert [layer.track_running_stats for layer in layers] == [True, False, True]
    layers[0](features)
    assert (layers[0].running_mean > 0.4).all()
    torch.testing.assert_close(layers[2](features), features / (1 + 1e-5) ** 0.5)
