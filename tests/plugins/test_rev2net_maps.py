"""Reading what inner modules give as feature maps: each value is where its position says."""

import torch

from pvbias.plugins.rev2net.maps import Layout, layouts

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


def test_pathways_are_joined_and_the_slow_one_waits():
    slow = MAPS[:, :3, ::2]
    (layout,) = layouts([slow, MAPS], [])
    assert layout.shape == (8, *GRID)
    read = layout.read([slow, MAPS])
    assert torch.equal(read[:, 3:], MAPS)
    assert torch.equal(read[:, :3, 0], slow[:, :, 0])
    assert torch.equal(read[:, :3, 1], slow[:, :, 0])


def test_what_is_no_map():
    for output in (MAPS[:, :, 0], MAPS.mean((2, 3, 4)), None, [], {"maps": MAPS}, [MAPS, MAPS[..., :2]]):
        assert layouts(output, [GRID]) == [], output
