"""Logits against those of the two models."""

import pytest
import torch

from pvbias.errors import ConfigError
from pvbias.models import build_shapes
from pvbias.plugins.two_stream import TwoStreamNetwork
from pvbias.plugins.two_stream.network import Stream
from pvbias.registries import MODEL
from pvbias.video.flow_coding import CODED_MEAN, CODED_STD

from .networks import CLASSES, two_stream


@pytest.mark.parametrize(
    ("rgb", "flow", "flow_frames", "frames", "side"),
    [
        ("inception_i3d", "inception_i3d_flow", 1, 8, 32),
        ("slowfast_r50", "x3d_xs", 2, 8, 32),
        ("tsn_r18", "tsn_r18", 5, 3, 32),
        ("torchvision_s3d", "torchvision_r3d_18", 3, 8, 32),
    ],
)
def test_logits_are_the_weighted_sum_of_both_models(rgb, flow, flow_frames, frames, side):
    """Each model with its own final projection on its own part of the clip, as it is built without the other."""
    recognizer = two_stream(
        rgb, flow, frames=frames, side=side, flow_frames=flow_frames, overrides=["TWO_STREAM.WEIGHTS", "[1.0, 1.5]"]
    ).eval()
    network = recognizer.module
    clip = torch.randint(256, (2, 3 + 2 * flow_frames, frames, side, side), dtype=torch.uint8)
    with torch.no_grad():
        logits = recognizer(clip)
        embedding = recognizer.embed(clip)
    heads = [
        build_shapes(entry, num_classes=CLASSES).get_submodule(entry.head).to_empty(device="cpu")
        for entry in map(MODEL.get, (rgb, flow))
    ]
    widths = [head.weight.shape[1] for head in heads]
    assert embedding.shape == (2, sum(widths))
    # Both models with heads of their own in place again, whose weights are what the head has of them.
    parts = {"rgb": clip[:, :3] / 255.0, "flow": (clip[:, 3:] / 255.0 - CODED_MEAN) / CODED_STD}
    spec = MODEL.get(rgb).clip_spec
    mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (spec.mean, spec.std))
    parts["rgb"] = (parts["rgb"] - mean) / std
    columns = dict(zip(("rgb", "flow"), network.head.weight.split(widths, dim=1), strict=True))
    total = network.head.bias.detach().clone()
    with torch.no_grad():
        for stream, name, original in (("rgb", rgb, heads[0]), ("flow", flow, heads[1])):
            entry, module = MODEL.get(name), getattr(network, stream)
            original.weight.copy_(columns[stream].reshape(original.weight.shape))
            if original.bias is not None:
                original.bias.zero_()
            parent, _, attribute = entry.head.rpartition(".")
            setattr(module.get_submodule(parent), attribute, original.eval())
            total = total + module(entry.pathways(parts[stream]))
    torch.testing.assert_close(logits, total, rtol=1e-4, atol=1e-4)


def test_the_weights_of_a_new_network_are_those_of_its_models_times_the_streams_weights():
    linear = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, CLASSES)) for size in (24, 16)]
    rgb, flow = (
        Stream(name=str(weight), module=module, head="1", weight=weight)
        for module, weight in zip(linear, (2.0, 0.5), strict=True)
    )
    clip = torch.rand(3, 5, 2, 2, 2)
    expected = 2 * linear[0](clip[:, :3]) + 0.5 * linear[1](clip[:, 3:])
    torch.testing.assert_close(TwoStreamNetwork(rgb, flow)(clip), expected)


def test_the_first_of_the_keys_two_weights_is_that_of_rgb():
    def head(weights):
        torch.manual_seed(0)
        keys = ["TWO_STREAM.WEIGHTS", weights]
        return two_stream("tsn_r18", "tsn_r18", frames=2, side=32, overrides=keys).module.head.weight.chunk(2, dim=1)

    (rgb, flow), (weighted_rgb, weighted_flow) = head("[1.0, 1.0]"), head("[3.0, 0.5]")
    torch.testing.assert_close(weighted_rgb, 3 * rgb)
    torch.testing.assert_close(weighted_flow, 0.5 * flow)


def test_a_model_that_is_not_linear_behind_its_projection_is_no_stream():
    class Doubled(torch.nn.Sequential):
        def forward(self, clip):
            return super().forward(clip.flatten(1))[:, :2] * 2

    odd = Stream(name="odd", module=Doubled(torch.nn.Linear(24, CLASSES)), head="0")
    other = Stream(name="other", module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5)), head="1")
    with pytest.raises(ConfigError, match="odd cannot be a stream: without its final projection"):
        TwoStreamNetwork(odd, other)(torch.rand(3, 5, 2, 2, 2))
