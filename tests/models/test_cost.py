"""What a model costs, by hand."""

from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.models.cost import Cost, count_cost


def build(*, num_classes, num_frames, crop_size):
    return nn.Sequential(
        nn.Conv3d(3, 4, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(4),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(4, num_classes),
    )


def test_a_multiply_add_counts_once():
    """4 outputs of 3 x 3 products at each of 2 x 8 x 8 places, and a projection of 4 on 5."""
    spec = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=8, short_side=8)
    model = ZooModel(zoo="mine", build=build, clip_spec=spec, head="4")
    assert count_cost(model, num_classes=5) == Cost(
        parameters=4 * 9 + 2 * 4 + 4 * 5 + 5, multiply_adds=4 * 9 * 2 * 8 * 8 + 4 * 5
    )
    assert count_cost(model, num_classes=5, crop_size=4).multiply_adds == 4 * 9 * 2 * 4 * 4 + 4 * 5
