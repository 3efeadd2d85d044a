"""Stylings: what changes, what stays, and that a clip's style is its own."""

import pytest
import torch

from pvbias.clips import modulation
from pvbias.errors import ConfigError
from pvbias.plugins.factor_units import Stylize

STYLES = ("photometric", "texture", "statistics")


def clips(count=2, side=32):
    generator = torch.Generator().manual_seed(0)
    still = torch.rand(count, 3, 1, side, side, generator=generator).repeat(1, 1, 4, 1, 1)
    still[:, :, :, 8:24, 8:24] = 0.9
    return (255 * still).byte()


@pytest.mark.parametrize("style", STYLES)
def test_a_clip_has_one_style_of_its_own(style):
    """Frames that are alike stay alike; the style is that of the seed and the draw, and not of the batch."""
    given = clips()
    made = Stylize(style=style, draw=1)(given, [3, 4])
    assert made.dtype == torch.uint8
    assert made.shape == given.shape
    assert torch.equal(made[:, :, 0], made[:, :, 3])
    assert torch.equal(made[1:], Stylize(style=style, draw=1)(given[1:], [4]))
    others = [Stylize(style=style, draw=2)(given[:1], [3]), Stylize(style=style, draw=1)(given[:1], [5]), given[:1]]
    for other in others:
        assert (made[:1].float() - other.float()).abs().mean() > 5


@pytest.mark.parametrize("style", STYLES)
def test_motion_stays(style):
    """A clip that is shifted is styled and then shifted, away from the borders."""
    given = torch.rand(1, 3, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    given = (torch.nn.functional.avg_pool3d(given, (1, 5, 5), 1, (0, 2, 2)) * 255).byte()
    given[:, :, 1, :, 4:] = given[:, :, 0, :, :-4]
    made = Stylize(style=style)(given, [7]).float()
    there, moved = made[0, :, 0, 8:24, 8:20], made[0, :, 1, 8:24, 12:24]
    correlation = torch.corrcoef(torch.stack([there.flatten(), moved.flatten()]))[0, 1]
    assert correlation > (0.9 if style == "statistics" else 0.9999)


def test_statistics_become_others():
    """Whatever the colours were, mean and spread are those of the style."""
    dark, bright = clips() // 4, 255 - clips() // 4
    means = [Stylize(style="statistics")(given, [9, 9]).float().mean((2, 3, 4)) for given in (dark, bright)]
    torch.testing.assert_close(means[0], means[1], atol=25.0, rtol=0)
    assert (dark.float().mean() - bright.float().mean()).abs() > 100


def test_specs_and_refusals():
    assert modulation("stylize(style=statistics, draw=2)") == Stylize(style="statistics", draw=2)
    assert Stylize(draw=2).label == "in other textures (draw 2)"
    with pytest.raises(ConfigError, match="RGB clips"):
        Stylize()(clips()[:, :2], [0, 1])
