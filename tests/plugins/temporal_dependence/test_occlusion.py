"""Occlusion over time of networks that are known to look at one moment, or at all of them alike."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pvbias.plugins.temporal_dependence import OcclusionStrips, TemporalOcclusion

from .toys import config, feed, moving, recognizer


class Moment(nn.Module):
    """Looks at some frames, whose red tells the class."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[8.0, 0.0], [0.0, 8.0]])

    def forward(self, clip):
        red = clip[:, 0, self.frames].mean((1, 2, 3))
        return self.head(torch.stack([red, -red], 1))


def noise(count):
    generator = torch.Generator().manual_seed(3)
    return list(torch.randint(256, (count, 3, 16, 4, 4), generator=generator, dtype=torch.uint8))


def test_the_part_that_a_network_looks_at_is_found():
    clips = noise(20)
    found, _ = feed(TemporalOcclusion(config(), recognizer(Moment([10, 11])), ()), clips)
    drops = [found["drop", "clip", f"occlude(part={part})" if part else "occlude"].value for part in range(8)]
    assert drops[5] > 1
    assert drops[:5] + drops[6:] == pytest.approx([0] * 7)
    assert found["unequal", "clip", "original"].value < 1e-3


def test_parts_that_all_matter_alike_are_mostly_not_told_apart():
    """Friedman's test is below 0.05 in 5 % of cases."""
    generator = torch.Generator().manual_seed(0)
    below = 0
    for _ in range(60):
        evaluator = TemporalOcclusion(config(), recognizer(Moment([0])), ())
        evaluator.rows = {
            video: tuple(row) for video, row in enumerate(torch.rand(15, 8, generator=generator).tolist())
        }
        (unequal,) = (figure for figure in evaluator.evaluate().figures if figure.name == "unequal")
        below += unequal.value < 0.05
    assert below <= 7


def test_nothing_is_said_where_no_part_matters():
    found, _ = feed(TemporalOcclusion(config(), recognizer(Moment([0])), ()), [moving(0, 1, 1)] * 3)
    assert found["unequal", "clip", "original"].value is None or found["unequal", "clip", "original"].value > 0.05


def test_rounding_is_no_difference_of_parts():
    """Ranks would be as sure of one part that moves the eighth decimal as of any other."""
    evaluator = TemporalOcclusion(config(), recognizer(Moment([0])), ())
    evaluator.rows = {video: (0.0, 0.0, 0.0, 1e-8 * (video + 1), 0.0, 0.0, 0.0, 0.0) for video in range(10)}
    unequal = evaluator.evaluate().figures[-1]
    assert (unequal.name, unequal.value) == ("unequal", None)


def test_strips_show_the_parts_of_a_clip_with_bars():
    _, result = feed(OcclusionStrips(config(), recognizer(Moment([0, 1])), ("dark", "light")), noise(3), [0, 1, 1])
    rows = result.tables["strips"]
    assert [row["label"] for row in rows] == ["dark", "light"]  # the first of each class
    picture = np.asarray(Image.open(io.BytesIO(result.images[rows[0]["strip"]])))
    assert picture.shape == (64 + 30, 8 * (64 + 2), 3)
    drops = [float(drop) for drop in rows[0]["drops"].split(", ")]
    assert np.argmax(np.abs(drops)) == 0
    bars = picture[67:]  # behind the line
    coloured = (bars.min(-1) < 250).any(0)
    assert coloured[16:48].all()
    assert not coloured[66:].any()
