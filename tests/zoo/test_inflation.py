"""Inflated kernels: what a 3D convolution makes of a video of one frame is what the 2D one makes of the frame. And
kernels on RGB for other channels."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.clips import ClipSpec
from pvbias.models import Recognizer, ZooModel
from pvbias.registries import MODEL
from pvbias.zoo import load_weights, match_catalogue
from pvbias.zoo.inflation import average_over_rgb, inflate


def inflated(kernel: torch.Tensor, length: int) -> torch.Tensor:
    own = torch.zeros(*kernel.shape[:2], length, *kernel.shape[2:])
    return inflate({"conv.weight": kernel}, {"conv.weight": own})["conv.weight"]


def still(image: torch.Tensor, frames: int) -> torch.Tensor:
    return image[:, :, None].expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_slices_are_alike_and_add_up_to_the_2d_kernel(length):
    kernel = torch.randn(4, 3, 5, 5)
    weight = inflated(kernel, length)
    assert weight.shape == (4, 3, length, 5, 5)
    torch.testing.assert_close(weight.sum(2), kernel)
    assert all(torch.equal(part, weight[:, :, 0]) for part in weight.unbind(2))


def test_a_still_video_with_padding_at_its_ends():
    kernel, image = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 6, 6)
    expected = F.conv2d(image, kernel, padding=1)
    response = F.conv3d(still(image, 9), inflated(kernel, 7), padding=(3, 1, 1))
    # Of seven slices 4, 5 and 6 are inside the clip at its first three frames.
    for frame, slices in enumerate([4, 5, 6, 7, 7, 7, 6, 5, 4]):
        torch.testing.assert_close(response[:, :, frame], expected * slices / 7, rtol=1e-4, atol=1e-5)


def test_a_network_on_a_still_video():
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2)).eval()
    deep = nn.Sequential(nn.Conv3d(3, 4, (5, 3, 3)), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 5, 3, stride=(1, 2, 2)))
    weights = flat.state_dict()
    found = inflate(weights, deep.state_dict())
    assert set(found) == {"0.weight", "3.weight"}
    deep.eval().load_state_dict(weights | found, strict=True)
    image = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        response = deep(still(image, 8))
        assert response.shape[2] == 2
        torch.testing.assert_close(response, still(flat(image), 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((4, 3, 7, 7), (4, 3, 3, 5, 5)),
        ((4, 3, 7, 7), (8, 3, 3, 7, 7)),
        ((4, 3, 7, 7), (4, 1, 3, 7, 7)),
        ((4, 3, 7, 7), (4, 3, 7, 7)),
        ((4, 3, 3, 7, 7), (4, 3, 5, 7, 7)),
        ((4, 3), (4, 3, 1, 1, 1)),
    ],
    ids=["side", "channels", "groups", "2D in both", "3D in both", "linear"],
)
def test_what_is_not_inflated(theirs, ours):
    assert inflate({"a.weight": torch.zeros(theirs)}, {"a.weight": torch.zeros(ours)}) == {}


def test_only_what_the_model_has():
    assert inflate({"a.weight": torch.zeros(4, 3, 1, 1)}, {"b.weight": torch.zeros(4, 3, 1, 1, 1)}) == {}


def test_types_and_weightless_tensors():
    assert inflated(torch.ones(2, 2, 1, 1, dtype=torch.float16), 2).dtype == torch.float16
    with torch.device("meta"):
        assert inflated(torch.empty(2, 2, 1, 1), 4).shape == (2, 2, 4, 1, 1)


def on_channels(theirs: torch.Tensor, *ours: int) -> torch.Tensor:
    """A first kernel for a model whose one has this shape."""
    return average_over_rgb({"conv.weight": theirs}, {"conv.weight": torch.zeros(ours)})["conv.weight"]


def test_the_mean_over_rgb_for_every_channel_of_flow():
    kernel = torch.tensor([[[[1.0]], [[2.0]], [[6.0]]], [[[-1.0]], [[0.0]], [[4.0]]]])  # (2, 3, 1, 1)
    assert on_channels(kernel, 2, 2, 1, 1).flatten(1).tolist() == [[3, 3], [1, 1]]
    assert on_channels(kernel, 2, 10, 1, 1).flatten(1).tolist() == [[3] * 10, [1] * 10]
    # From 3D to 3D, and from 2D to 3D: over three moments.
    deep = torch.stack([kernel, 10 * kernel], dim=2)
    assert on_channels(deep, 2, 2, 2, 1, 1).flatten(1).tolist() == [[3, 30, 3, 30], [1, 10, 1, 10]]
    torch.testing.assert_close(on_channels(kernel, 2, 2, 3, 1, 1).flatten(1)[0], torch.ones(6))
    assert on_channels(deep.half(), 2, 2, 2, 1, 1).dtype == torch.float16


@pytest.mark.parametrize("shape", [(4, 1, 3, 3), (4, 1, 5, 3, 3)], ids=["2D", "inflated"])
def test_a_network_on_grey_values_sees_a_grey_picture_as_one_on_rgb(shape):
    kernel, image = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 6, 6)
    expected = F.conv2d(image.expand(-1, 3, -1, -1), kernel)
    weight = on_channels(kernel, *shape)
    found = F.conv2d(image, weight) if len(shape) == 4 else F.conv3d(still(image, 5), weight)[:, :, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((4, 3, 7, 7), (4, 3, 3, 7, 7)),
        ((4, 2, 7, 7), (4, 3, 7, 7)),
        ((4, 2, 7, 7), (4, 1, 7, 7)),
        ((4, 3, 7, 7), (8, 2, 7, 7)),
        ((4, 3, 7, 7), (4, 2, 5, 5)),
        ((4, 3, 3, 7, 7), (4, 2, 5, 7, 7)),
        ((4, 3), (4, 2)),
    ],
    ids=["RGB in both", "flow to RGB", "flow to grey", "width", "side", "time", "linear"],
)
def test_what_is_not_averaged(theirs, ours):
    assert average_over_rgb({"a.weight": torch.zeros(theirs)}, {"a.weight": torch.zeros(ours)}) == {}


def test_only_the_first_convolution_sees_the_clip():
    own = {"stem.weight": torch.zeros(4, 3, 1, 3, 3), "depthwise.weight": torch.zeros(4, 1, 3, 3)}
    file = {"stem.weight": torch.zeros(4, 3, 1, 3, 3), "depthwise.weight": torch.zeros(4, 3, 3, 3)}
    assert average_over_rgb(file, own) == {}


class OnChannels(nn.Module):
    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, 4, 3)
        self.proj = nn.Linear(4, num_classes)


def test_a_report_says_what_was_averaged(tmp_path):
    spec = ClipSpec(num_frames=3, sampling_rate=1, crop_size=3, test_crop_size=3, short_side=3)
    recognizer = Recognizer(OnChannels(2, 2), clip_spec=spec, head="proj")
    theirs = OnChannels(5, 3).state_dict()
    torch.save(theirs, tmp_path / "rgb.pth")
    report = load_weights(recognizer, str(tmp_path / "rgb.pth"))
    assert (report.averaged, report.inflated, report.backbone_fraction) == (("conv.weight",), (), 1.0)
    assert report.to_dict()["averaged"] == ["conv.weight"]
    assert "conv.weight averaged over RGB" in str(report)
    mean = theirs["conv.weight"].mean(1)
    torch.testing.assert_close(recognizer.module.conv.weight, torch.stack([mean, mean], dim=1))


def test_a_model_that_sees_what_the_file_does_comes_before_one_that_does_not(monkeypatch):
    spec = ClipSpec(num_frames=3, sampling_rate=1, crop_size=3, test_crop_size=3, short_side=3)

    def entry(channels: int) -> ZooModel:
        return ZooModel(
            zoo="toys", build=lambda num_classes, **_: OnChannels(num_classes, channels), clip_spec=spec, head="proj"
        )

    monkeypatch.setattr(MODEL, "_obj_map", {"a_flow": entry(2), "b_rgb": entry(3)})
    found = match_catalogue(OnChannels(5, 3).state_dict())
    assert list(found) == ["b_rgb", "a_flow"]
    assert [found[name].backbone_fraction for name in found] == [1.0, 1.0]
