"""Backgrounds without actors, and actors elsewhere: clips of a few pixels, worked by hand."""

import pytest
import torch

from pvbias.plugins.contrasted_videos.compositing import aligned, composite, stripes, without_actor


def grey(*frames):
    """Frames of grey levels as a clip ``(1, 3, T, H, W)``, uint8."""
    return torch.tensor(frames, dtype=torch.uint8)[None, None].expand(1, 3, -1, -1, -1)


def mask(*frames):
    return torch.tensor(frames, dtype=torch.uint8)[None, None]


def test_an_actor_over_another_background():
    made = composite(grey([[1, 2], [3, 4]]), mask([[0, 1], [0, 5]]), grey([[9, 9], [9, 9]]))
    assert made.equal(grey([[9, 2], [9, 4]]))


def test_behind_the_actor_is_what_other_frames_show_there():
    clips = grey([[200, 20], [30, 40]], [[10, 20], [30, 41]], [[13, 200], [30, 42]])
    masks = mask([[1, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 1], [0, 0]])
    # 200 was an actor: the mean of 10 and 13 behind the first (11.5: to even), 20 behind the other; the rest stays.
    assert without_actor(clips, masks).equal(grey([[12, 20], [30, 40]], [[10, 20], [30, 41]], [[13, 20], [30, 42]]))


def test_what_no_frame_shows_is_like_what_surrounds_it():
    clips = grey([[200, 20], [30, 40]])
    assert without_actor(clips, mask([[1, 0], [0, 0]])).equal(grey([[30, 20], [30, 40]]))  # (20 + 30 + 40) / 3
    assert without_actor(clips, mask([[1, 1], [1, 1]])).equal(grey([[0, 0], [0, 0]]))  # nothing is known
    # A plane in brightness of 16 x 16 pixels is one again, nearly.
    plane = (torch.arange(16.0)[:, None] * 6 + torch.arange(16.0) * 4).round()
    masks = torch.zeros(1, 1, 1, 16, 16, dtype=torch.uint8)
    masks[..., 6:9, 6:9] = 1
    clips = plane.to(torch.uint8).expand(1, 3, 1, 16, 16)
    filled = without_actor(torch.where(masks > 0, 255, clips.int()).to(torch.uint8), masks)
    assert (filled.int() - clips.int()).abs().max() <= 8


def test_actors_are_moved_to_where_another_one_is():
    clips, masks = (
        grey([[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [1, 2, 3]]),
        mask([[1, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 1]]),
    )
    others = mask([[0, 0, 0], [0, 1, 0]], [[1, 1, 1], [1, 1, 1]])
    moved, moved_masks = aligned(clips, masks, others)  # by a row and a column, all frames alike
    assert moved_masks.equal(mask([[0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 1]]))  # what leaves the frame is gone
    assert composite(moved, moved_masks, torch.zeros_like(clips)).equal(
        grey([[0, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 8]])
    )


@pytest.mark.parametrize("seed", range(5))
def test_stripes_are_of_two_complementary_colours(seed):
    image = stripes(60, 80, seed)
    colours = image.flatten(1).T.unique(dim=0)
    assert image.shape == (3, 60, 80)
    assert len(colours) == 2
    torch.testing.assert_close(colours.sum(0), torch.ones(3, dtype=torch.float64))
    share = (image == colours[0][:, None, None]).all(0).double().mean()
    assert 0.25 < share < 0.75  # a distance of 1.5 to 2.5 thicknesses
