"""Reading what inner modules give as feature maps: each value is where its position says."""

import torch

from pvbias.models.feature_maps import Layout, layouts

#: (N, D, t, h, w), every value another.
MAPS = torch.arange(2 * 5 * 2 * 3 * 4.0).view(2, 5, 2, 3, 4)
GRID = (2, 3, 4)


def tokens_of(maps, class_tokens=0):
    """Frame by frame, row by row, after tokens of nonsense."""
    positions = [maps[:, :, t, y, x] for t in range(2) for y in range(3) for x in range(4)]
    return torch.stack([torch.full((2, 5), -1.0)] * class_tokens + positions, dim=1)


def test_tokens():
    for class_tokens in (0, 1):
        for output in (
            (tokens_of(MAPS, class_tokens), list(GRID)),
            (tokens_of(MAPS, class_tokens), GRID),
        ):
            (layout,) = layouts(output, [])
            assert layout == Layout("tokens", GRID, 5)
            assert layout.shape == (5, *GRID)
            assert torch.equal(layout.read(output), MAPS)


def test_tokens_without_a_grid_have_that_of_the_patches():
    tokens = tokens_of(MAPS, 1)
    for output in (tokens, (tokens,)):
        (layout,) = layouts(output, [(1, 1, 1), GRID, GRID])
        assert torch.equal(layout.read(output), MAPS)
    assert layouts(tokens, []) == []
    assert layouts(tokens, [GRID, (4, 3, 2)]) == []  # which of the two, nobody says
    assert layouts(tokens_of(MAPS, 2), [GRID]) == []


def test_five_dimensions_either_way_round():
    first, last = layouts(MAPS, [])
    assert torch.equal(first.read(MAPS), MAPS)
    output = MAPS.movedim(1, -1)
    first, last = layouts(output, [])
    assert (last.form, last.grid, last.channels) == ("channels last", GRID, 5)
    assert torch.equal(last.read(output), MAPS)


def test_pathways_are_joined_in_the_slow_ones_frames():
    """A fast pathway's frames of one moment are channels of that moment."""
    fast, slow = torch.randn(2, 5, 8, 3, 4), torch.randn(2, 3, 2, 3, 4)
    layout, *_ = layouts([slow, fast], [])
    assert layout.shape == (3 + 5 * 4, 2, 3, 4)
    read = layout.read([slow, fast])
    assert torch.equal(read[:, :3], slow)
    for channel in range(5):
        for part in range(4):
            assert torch.equal(read[:, 3 + 4 * channel + part], fast[:, channel, part::4])


def test_pathways_are_joined_in_more_frames_and_the_slow_one_waits():
    """Where decoders cannot make up for so few."""
    fast, slow = torch.randn(2, 5, 8, 3, 4), torch.randn(2, 3, 1, 3, 4)
    found = layouts([slow, fast], [])
    assert [layout.shape for layout in found] == [(23, 2, 3, 4), (13, 4, 3, 4), (8, 8, 3, 4)]
    read = found[-1].read([slow, fast])
    assert torch.equal(read[:, 3:], fast)
    assert torch.equal(read[:, :3], slow.expand(-1, -1, 8, -1, -1))


def test_what_is_no_map():
    for output in (MAPS[:, :, 0], MAPS.mean((2, 3, 4)), None, [], {"maps": MAPS}, [MAPS, MAPS[..., :2]]):
        assert layouts(output, [GRID]) == [], output
