"""Inflated kernels: what a 3D convolution makes of a video of one frame is what the 2D one makes of the frame."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.zoo.inflation import inflate


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
