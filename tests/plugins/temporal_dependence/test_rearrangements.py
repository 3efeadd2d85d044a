"""Which frames a clip with changed timing shows."""

import pytest
import torch

from pvbias.clips import modulation
from pvbias.errors import ConfigError


def frames(spec, num_frames=8, seed=0):
    return modulation(spec).order(num_frames, seed).tolist()


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7])
def test_cut_keeps_the_order_inside_segments_and_no_two_of_them_together(length):
    for seed in range(50):
        order = torch.tensor(frames(f"cut(length={length})", 8, seed))
        assert sorted(order.tolist()) == list(range(8))
        together = int((order.diff() == 1).sum())  # neighbours that still are
        cuts = 8 - 1 - together
        assert cuts in {7 // length, -(-7 // length)}  # cuts that are `length` apart, wherever they begin


@pytest.mark.parametrize("length", [2, 3, 6])
def test_cuts_are_anywhere_with_the_same_probability(length):
    together = torch.zeros(7)
    for seed in range(600):
        places = torch.tensor(frames(f"cut(length={length})", 8, seed)).argsort()
        together += places.diff() == 1
    assert torch.allclose(1 - together / 600, torch.full((7,), 1 / length), atol=0.08)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("window(length=2)", [4, 4, 4, 4, 4, 5, 5, 5]),
        ("window(length=4)", [3, 3, 3, 3, 4, 5, 6, 6]),
        ("window(length=1)", [4] * 8),
        ("speed", [0, 0, 0, 2, 4, 6, 7, 7]),
        ("speed(factor=0.5)", [1, 2, 2, 3, 3, 4, 4, 5]),
        ("speed(factor=1.0)", list(range(8))),
        ("occlude(part=1, parts=4)", [0, 1, 1, 1, 4, 5, 6, 7]),
        ("occlude(part=0, parts=4)", [2, 2, 2, 3, 4, 5, 6, 7]),
        ("occlude(part=7)", [0, 1, 2, 3, 4, 5, 6, 6]),
    ],
)
def test_frames_that_are_shown(spec, shown):
    assert frames(spec) == shown


def test_dropped_frames_are_missing_and_doubled_ones_there_twice():
    gone, twice = set(), set()
    for seed in range(60):
        dropped, doubled = frames("drop", seed=seed), frames("double", seed=seed)
        (missing,) = set(range(8)) - set(dropped)
        assert dropped == [*sorted(set(range(8)) - {missing}), 6 if missing == 7 else 7]
        (again,) = {frame for frame in doubled if doubled.count(frame) == 2}
        assert doubled == sorted([*range(7), again])
        gone.add(missing)
        twice.add(again)
    assert gone == set(range(8))
    assert twice == set(range(7))
    assert len(set(frames("drop(count=3)"))) == 5
    assert frames("double(count=4)") == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "spec",
    [
        "cut(length=8)",
        "drop(count=8)",
        "double(count=5)",
        "occlude(parts=9)",
        "window(length=8)",
        "occlude(part=4, parts=4)",
    ],
)
def test_clips_that_are_too_short(spec):
    with pytest.raises(ConfigError, match=spec.split("(")[0]):
        frames(spec)
