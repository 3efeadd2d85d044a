"""The page of decoded clips."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.plugins.rev2net.page import DecodedClip, write_decoded


def pictures(page):
    """The strips of a page by their row's heading, uint8 ``(h, w, 3)``, in order."""
    found = re.findall(r'<th scope="row">([^<]+)</th><td><img src="data:image/png;base64,([^"]+)"', page)
    return [(name, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) for name, data in found]


def test_errors_and_colours_of_a_clip_worked_by_hand(tmp_path):
    flow = torch.zeros(2, 3, 4, 4)
    flow[0], flow[1] = 3.0, 4.0
    clip = torch.stack([torch.full((3, 4, 4), level) for level in (0.0, 0.5, 1.0)], dim=1)
    shown = DecodedClip(name="a", label="", clip=clip, target_flow=flow, flow=flow / 2, frames=clip)
    assert shown.flow_errors == pytest.approx((2.5, 5.0))
    # Reversed, the frames at the ends are wrong by 1; the grey mean image is wrong by 1/2 there.
    assert shown.frame_errors == pytest.approx((255 * 2 / 3, 255 / 3))
    page = write_decoded(tmp_path / "page.html", [shown], about={}).read_text(encoding="utf-8")
    strips = dict(pictures(page))
    true, half = strips["True flow"][0, 0].astype(int), strips["Decoded flow"][0, 0].astype(int)
    # On one scale half the speed is half as far from white.
    assert np.abs((255 - true) - 2 * (255 - half)).max() <= 3
    assert (255 - true).max() > 100
    assert "Longest flow vector: 5.00 px" in page


def test_clips_without_flow_or_frames_have_neither_rows_nor_errors(tmp_path):
    clip = torch.zeros(3, 20, 4, 6)
    alone = DecodedClip(name="<a>", label="run", clip=clip, target_flow=None, flow=None, frames=None)

    page = write_decoded(tmp_path / "new" / "page.html", [alone], about={"Objective": "Rev2Net"}).read_text("utf-8")

    ((name, strip),) = pictures(page)
    assert name == "Clip"
    assert strip.shape == (4, 8 * 6 + 7 * 2, 3)  # eight of the frames, a line between them
    assert "&lt;a&gt;" in page
    assert "End-point error" not in page
