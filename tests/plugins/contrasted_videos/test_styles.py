"""Other styles: the same in all frames of a clip, and known on pixels that are worked by hand."""

import torch

from pvbias.clips import modulation
from pvbias.plugins.contrasted_videos import StyleShiftAccuracy

from .toys import Squares, Static, config, figures, recognizer


def test_other_colours_are_a_function_of_the_colour():
    clips = torch.randint(0, 256, (6, 3, 2, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips[:, :, 1] = clips[:, :, 0].flip(-1)  # the same pixels elsewhere
    made = modulation("restyle").modulate(clips, range(6), {})
    assert torch.equal(made[:, :, 1], made[:, :, 0].flip(-1))
    for before, after in zip(clips, made, strict=True):
        assert not torch.equal(before, after)
        # Each new channel rises or falls with one of the old ones.
        for channel in after.flatten(1):
            steps = [channel[old.argsort()].int().diff() for old in before.flatten(1)]
            assert any((step >= 0).all() or (step <= 0).all() for step in steps)


def test_lines_are_where_brightness_changes():
    clip = torch.zeros(1, 3, 1, 4, 6, dtype=torch.uint8)
    clip[..., 3:] = 51  # a step of a fifth
    made = modulation("restyle(style=lines)")(clip, [0])
    assert made[0, :, 0, 1].tolist() == [[255, 255, 153, 153, 255, 255]] * 3  # 1 - 2 / 5


def test_a_mosaic_has_cells_of_their_mean():
    clip = torch.arange(16, dtype=torch.uint8).view(1, 1, 1, 4, 4).expand(1, 3, 1, 4, 4)
    made = modulation("restyle(style=mosaic)")(clip, [0])
    assert made[0, 2, 0].tolist() == [[2, 2, 4, 4]] * 2 + [[10, 10, 12, 12]] * 2  # 2.5, 4.5, 10.5, 12.5: to even


def test_who_goes_by_colours_is_lost_in_others(tmp_path):
    found, _ = figures(StyleShiftAccuracy(config(), recognizer(Static()), ()), tmp_path, Squares("colour"))
    assert found["top1", "video", "original"] == 100
    for variant in ("restyle", "restyle(style=lines)", "restyle(style=mosaic)"):
        assert found["top1", "video", variant] < 40
