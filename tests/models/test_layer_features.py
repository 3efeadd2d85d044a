"""Features that are computed where a layer runs."""

import pytest
import torch

from pvbias.clips import ClipSpec
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.models.layer_features import layer_of
from pvbias.registries import FEATURE

from .test_recognizer import SPEC, ConvHead


def clip():
    return torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def sums():
    """A plugin's own: the sum of what a layer was given, and of what it gave."""
    undo = FEATURE.snapshot()

    @FEATURE.register()
    def sums(call):
        return torch.stack([call.args[0].flatten(1).sum(1), call.output.flatten(1).sum(1)], 1)

    yield
    undo()


def test_means_are_those_of_the_layers_output():
    recognizer = Recognizer(ConvHead(), clip_spec=SPEC, head="proj").eval()
    features = recognizer.outputs(clip(), ("mean(conv)", "conv", "embedding")).features
    torch.testing.assert_close(features["mean(conv)"], features["conv"].mean((2, 3, 4)))
    assert features["embedding"].shape == (2, 5)


def test_half_precision_is_averaged_in_single():
    recognizer = Recognizer(ConvHead(), clip_spec=SPEC, head="proj").eval()
    with torch.autocast("cpu", torch.bfloat16), recognizer.taps("mean(conv)", "conv") as features:
        recognizer(clip())
    assert features["conv"].dtype == torch.bfloat16
    torch.testing.assert_close(features["mean(conv)"], features["conv"].float().mean((2, 3, 4)))


@pytest.mark.usefixtures("sums")
def test_a_plugin_adds_its_own():
    recognizer = Recognizer(ConvHead(), clip_spec=SPEC, head="proj").eval()
    recognizer.check_features(["sums(proj)"])
    features = recognizer.outputs(clip(), ("sums(proj)", "conv")).features
    torch.testing.assert_close(features["sums(proj)"][:, 0], features["conv"].flatten(1).sum(1))


def test_what_there_is_not():
    recognizer = Recognizer(ConvHead(), clip_spec=SPEC, head="proj")
    assert layer_of("mean(a.b)") == layer_of("a.b") == "a.b"
    for name, why in (("means(conv)", "mean"), ("mean(convs)", "no inner module 'convs'")):
        with pytest.raises(ConfigError, match=why):
            recognizer.check_features([name])


def test_stages_of_frames_come_before_what_is_computed_of_later_ones():
    spec = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)
    network = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Conv3d(3, 4, (1, 3, 3))), torch.nn.Conv3d(4, 4, 3), torch.nn.Flatten()
    )
    stages = torch.nn.Sequential()
    stages.blocks = network
    stages.forward = network.forward
    recognizer = Recognizer(stages, clip_spec=spec, head="", stages="blocks")
    assert recognizer.comes_after_frame_stages("mean(blocks.1)")
    assert not recognizer.comes_after_frame_stages("mean(blocks.0)")
