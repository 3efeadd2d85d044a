"""S3D-G: space to depth is a strided convolution on RGB, gates by hand, the release's names, clips of even sizes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.errors import ConfigError, WeightsError
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.classic_models.s3dg import SelfGating, pool, space_to_depth
from pvbias.registries import MODEL
from pvbias.zoo import load_weights, match_catalogue

from ..models import recognizer_of

load_plugins()

ENTRY = MODEL.get("s3dg")


def released():
    """A file as the release's: this network and, under its own names, a text network."""
    torch.manual_seed(0)
    weights = ENTRY.build(num_classes=512, num_frames=4, crop_size=32).state_dict()
    return weights | {"text_module.fc1.weight": torch.zeros(8, 3), "text_module.fc1.bias": torch.zeros(8)}


def test_a_convolution_of_blocks_is_a_strided_one_of_rgb():
    """Channel (frame, row, column, RGB) of a block of 2x2x2: a kernel of 2x4x4 blocks is one of 4x8x8 pixels."""
    torch.manual_seed(0)
    clip, blocks = torch.randn(2, 3, 8, 12, 10), torch.randn(5, 2, 2, 2, 3, 2, 4, 4)
    pixels = blocks.permute(0, 4, 5, 1, 6, 2, 7, 3).reshape(5, 3, 4, 8, 8)
    found = F.conv3d(space_to_depth(clip), blocks.flatten(1, 4))
    torch.testing.assert_close(found, F.conv3d(clip, pixels, stride=2), rtol=1e-4, atol=1e-4)


def test_gates_by_hand():
    gate = SelfGating(2)
    with torch.no_grad():
        gate.fc.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        gate.fc.bias.copy_(torch.tensor([0.0, 20.0]))
    x = torch.tensor([[1.0, 3.0], [0.0, 4.0]]).reshape(1, 2, 1, 1, 2)  # the second channel's mean is 2
    expected = torch.stack([x[0, 0] * torch.tensor(2.0).sigmoid(), x[0, 1]])[None]
    torch.testing.assert_close(gate(x), expected)


@pytest.mark.parametrize("size", [4, 5, 7, 12, 13])
def test_pooling_rounds_sizes_up(size):
    line = torch.arange(float(size)).reshape(1, 1, 1, 1, size)
    assert pool(line, (1, 1, 3), (1, 1, 2)).flatten().tolist() == [
        min(start + 2, size - 1) for start in range(0, size, 2)
    ]


def test_names_shapes_and_layers_over_time():
    with torch.device("meta"):
        module = ENTRY.build(num_classes=512, num_frames=32, crop_size=200)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    expected = {
        "conv1.conv1.weight": (64, 24, 2, 4, 4),
        "conv_2b.conv1.weight": (64, 64, 1, 1, 1),
        "conv_2c.conv1.weight": (192, 64, 1, 3, 3),
        "conv_2c.conv2.weight": (192, 192, 3, 1, 1),
        "gating.fc.weight": (192, 192),
        "mixed_3b.conv_b0.bn1.running_var": (64,),
        "mixed_4f.conv_b2_b.conv2.weight": (128, 128, 3, 1, 1),
        "mixed_5c.gating_b3.fc.bias": (128,),
        "mixed_5c.conv_b1_a.conv1.weight": (192, 832, 1, 1, 1),
        "fc.weight": (512, 1024),
    }
    assert expected.items() <= shapes.items()
    over_time = [layer for layer in module.modules() if isinstance(layer, nn.Conv3d) and layer.kernel_size[0] > 1]
    assert len(over_time) == 20  # as many as I3D has


def test_the_release_is_recognised_and_loaded_and_refused_for_torchvisions_network(tmp_path):
    file = tmp_path / "s3d_howto100m.pth"
    weights = released()
    torch.save(weights, file)
    assert next(iter(match_catalogue(weights))) == "s3dg"
    recognizer = recognizer_of("s3dg", num_classes=512, num_frames=4, crop_size=32).eval()
    load_weights(recognizer, str(file))
    for name, value in recognizer.module.state_dict().items():
        assert torch.equal(value, weights[name])
    with torch.no_grad():
        assert recognizer(torch.rand(2, 3, 4, 32, 32)).shape == (2, 512)
    with pytest.raises(WeightsError, match="S3D-G, which gates its features"):
        load_weights(recognizer_of("torchvision_s3d", num_frames=16, crop_size=32), str(file))


def test_odd_sizes_have_no_blocks():
    for sizes in ({"num_frames": 5, "crop_size": 32}, {"num_frames": 4, "crop_size": 33}):
        with pytest.raises(ConfigError, match="even sizes"):
            ENTRY.build(num_classes=3, **sizes)
