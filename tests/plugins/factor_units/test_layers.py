"""Which layers of published networks are their blocks."""

import pytest
import torch
from pytorchvideo.models.x3d import create_x3d
from torch import nn
from torchvision.models.video import SwinTransformer3d

from pvbias.clips import ClipSpec
from pvbias.models import Recognizer
from pvbias.plugins.factor_units.layers import blocks
from tests.plugins.video_transformers import recognizer as of_family

SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=32, test_crop_size=32, short_side=32)


def test_stages_of_a_convolutional_network():
    recognizer = Recognizer(create_x3d(input_clip_length=4, input_crop_size=32), clip_spec=SPEC, head="blocks.5.proj")
    assert blocks(recognizer) == [*(f"blocks.{stage}" for stage in range(5)), "embedding"]


def test_blocks_of_a_transformer():
    swin = SwinTransformer3d([2, 4, 4], 12, [1, 1], [2, 2], [2, 7, 7], num_classes=5)
    recognizer = Recognizer(swin, clip_spec=SPEC, head="head")
    assert blocks(recognizer) == ["patch_embed", "features.0", "features.1", "features.2", "norm", "embedding"]


@pytest.mark.parametrize("training", [False, True])
def test_the_network_stays_as_it_is(training):
    pool = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)]
    network = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(inplace=True), *pool)
    recognizer = Recognizer(network.train(training), clip_spec=SPEC, head="5")
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert blocks(recognizer) == ["0", "1", "embedding"]
    assert network.training == training
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_modules_that_give_something_else_are_taken_apart():
    """transformers' encoders give an object, and their list of layers does not run."""
    recognizer = of_family("VideoMAE")
    layers = [f"videomae.encoder.layer.{number}" for number in range(2)]
    found = blocks(recognizer)
    assert [name for name in found if "encoder" in name] == layers
    assert found[0] == "videomae.embeddings"
    assert found[-1] == "embedding"
