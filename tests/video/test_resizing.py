"""The resizer against what a picture's exact, antialiased reduction looks like, for every way of writing colours."""

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from torch.nn import functional

from pvbias.video.resizing import Resizer

pytestmark = pytest.mark.smoke


def gradients(height, width):
    """Red grows to the right, green to the bottom, blue to the left."""
    rows, columns = np.mgrid[:height, :width]
    across, down = columns * 255 / (width - 1), rows * 255 / (height - 1)
    return np.stack([across, down, 255 - across], -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(128, 170), (97, 131), (240, 320), (300, 400)])
@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("colorspace", [Colorspace.ITU601, Colorspace.ITU709])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_colours_and_positions_stay_what_they_are(pix_fmt, colorspace, color_range, size):
    picture = gradients(240, 320)
    frame = VideoReformatter().reformat(
        av.VideoFrame.from_ndarray(picture, format="rgb24"),
        format=pix_fmt,
        dst_colorspace=colorspace,
        dst_color_range=color_range,
    )
    scaled = Resizer()(frame, *size)
    pixels = torch.from_numpy(picture).float().permute(2, 0, 1)[None]
    exact = functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    difference = scaled - exact
    assert abs(difference).max() <= 12
    assert (abs(difference.mean((0, 1))) <= 4).all()


def test_one_resizer_takes_frames_of_any_size_in_turn():
    resizer = Resizer()
    for height, width in [(60, 80), (33, 57), (60, 80)]:
        frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8), format="rgb24")
        for pix_fmt in ("yuv420p", "rgb24", "gray"):
            scaled = resizer(frame.reformat(format=pix_fmt), 30, 40)
            assert scaled.shape == (30, 40, 3)
            assert abs(scaled.astype(int) - 200).max() <= 2
