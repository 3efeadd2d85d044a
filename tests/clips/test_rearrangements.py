"""The built-in modulations: what each does to the frames, and that every order that it may give is equally likely."""

from collections import Counter
from itertools import permutations, product

import pytest
import torch
from scipy.stats import chi2

from pvbias.clips import ORIGINAL, Freeze, Rearrangement, modulation, shuffled_order
from pvbias.errors import ConfigError

from .numbered import frame_numbers, numbered_clips

SPECS = [
    ORIGINAL,
    "reverse",
    "shuffle",
    "shuffle(segments=2)",
    "shuffle(segments=3)",
    "shuffle_within(segments=2)",
    "freeze_first",
    "freeze_middle",
    "freeze_random",
    "freeze(frame=random, draw=2)",
    "subsample",
]
SHUFFLES = [spec for spec in SPECS if spec.startswith("shuffle")]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ORIGINAL, [0, 1, 2, 3, 4]),
        ("reverse", [4, 3, 2, 1, 0]),
        ("freeze_first", [0, 0, 0, 0, 0]),
        ("freeze_middle", [2, 2, 2, 2, 2]),
        ("subsample", [0, 0, 2, 2, 4]),
        ("subsample(step=3)", [0, 0, 0, 3, 3]),
        ("subsample(step=9)", [0, 0, 0, 0, 0]),
    ],
)
def test_what_is_not_random(spec, expected):
    clips = numbered_clips(num_clips=2)
    assert frame_numbers(modulation(spec)(clips, [7, 8])) == [expected, [10 + frame for frame in expected]]


@pytest.mark.parametrize(("num_frames", "middle"), [(1, 0), (2, 1), (4, 2), (7, 3), (8, 4)])
def test_the_middle_frame_is_t_over_two(num_frames, middle):
    assert modulation("freeze_middle").frames(num_frames, [0]).tolist() == [[middle] * num_frames]


@pytest.mark.parametrize("spec", SPECS)
def test_a_rearrangement_says_which_frames_it_takes(spec):
    made, seeds = modulation(spec), [21, 22, 23]
    assert isinstance(made, Rearrangement)
    frames = made.frames(5, seeds)
    assert (frames.dtype, frames.shape) == (torch.int64, (3, 5))
    assert (frames + 10 * torch.arange(3)[:, None]).tolist() == frame_numbers(made(numbered_clips(3), seeds))


def test_random_ones_draw_what_they_always_have():
    """Clips of one version are those of another: results stay comparable."""
    assert modulation("freeze_random").frames(8, [0, 1, 2, 3])[:, 0].tolist() == [4, 5, 0, 2]
    assert modulation("shuffle").frames(4, [0, 1]).tolist() == [[0, 1, 3, 2], [1, 3, 2, 0]]


@pytest.mark.parametrize("spec", SHUFFLES)
@pytest.mark.parametrize("num_frames", [3, 4, 5, 8, 11])
def test_shuffles_permute_and_are_never_the_identity(spec, num_frames):
    for order in modulation(spec).frames(num_frames, range(100)).tolist():
        assert sorted(order) == list(range(num_frames))
        assert order != list(range(num_frames))


def segments_in_orders(*segments):
    """Every order of the segments but the first."""
    return [sum(order, ()) for order in permutations(segments)][1:]


def orders_in_segments(*segments):
    """Every order inside the segments but the first."""
    return [sum(inner, ()) for inner in product(*map(permutations, segments))][1:]


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ("shuffle", list(permutations(range(3)))[1:]),
        ("shuffle", list(permutations(range(4)))[1:]),
        ("shuffle(segments=3)", list(permutations(range(3)))[1:]),
        ("shuffle(segments=2)", segments_in_orders((0, 1, 2), (3, 4))),  # 5 frames: the first segment is longer
        ("shuffle(segments=3)", segments_in_orders((0, 1), (2, 3), (4,))),
        ("shuffle(segments=4)", segments_in_orders((0, 1), (2, 3), (4, 5), (6, 7))),
        ("shuffle_within(segments=2)", orders_in_segments((0, 1), (2,))),
        ("shuffle_within(segments=2)", orders_in_segments((0, 1), (2, 3))),
        ("shuffle_within(segments=2)", orders_in_segments((0, 1, 2), (3, 4))),
        ("shuffle_within(segments=3)", orders_in_segments((0, 1, 2), (3, 4), (5, 6))),
    ],
)
def test_every_other_order_is_equally_likely(spec, allowed):
    each = 200
    draws = each * len(allowed)
    counts = Counter(map(tuple, modulation(spec).frames(len(allowed[0]), range(draws)).tolist()))
    assert set(counts) == set(allowed)
    chi_square = sum((count - each) ** 2 / each for count in counts.values())
    assert chi_square < (chi2.ppf(0.999, len(allowed) - 1) if len(allowed) > 1 else 1e-9)


def test_two_frames_are_swapped_and_one_stays():
    assert shuffled_order(2, 3).tolist() == [1, 0]
    assert shuffled_order(1, 3).tolist() == [0]
    assert modulation("shuffle").frames(1, [3, 4]).tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("spec", "num_frames", "why"),
    [
        ("shuffle(segments=4)", 3, "clips of 3 frames do not have 4 segments"),
        ("shuffle_within(segments=4)", 4, "clips of 4 frames have nothing to shuffle inside 4 segments"),
        ("shuffle_within(segments=2)", 1, "clips of 1 frames have nothing to shuffle inside 2 segments"),
    ],
)
def test_clips_too_short_for_segments_are_an_error(spec, num_frames, why):
    """As the original clips, or as plainly shuffled ones, they would pass for something that they are not."""
    with pytest.raises(ConfigError, match=why):
        modulation(spec)(numbered_clips(1, num_frames), [0])


def test_a_random_frame_is_repeated_and_uniform():
    num_frames, each = 5, 200
    for draw in (0, 1, 3):
        frames = Freeze(frame="random", draw=draw).frames(num_frames, range(each * num_frames))
        assert (frames == frames[:, :1]).all()
        counts = torch.bincount(frames[:, 0], minlength=num_frames)
        assert float(((counts - each) ** 2 / each).sum()) < chi2.ppf(0.999, num_frames - 1)


@pytest.mark.parametrize("num_frames", [1, 2, 5, 8])
def test_draws_are_different_frames_until_all_were_drawn(num_frames):
    draws = Freeze(frame="random").draws(2 * num_frames)
    assert draws[0].spec == "freeze_random"
    frames = torch.stack([draw.frames(num_frames, range(50))[:, 0] for draw in draws], dim=1)
    for first, again in zip(frames[:, :num_frames].tolist(), frames[:, num_frames:].tolist(), strict=True):
        assert sorted(first) == list(range(num_frames))
        assert again == first


def test_two_draws_are_every_pair_of_frames_alike():
    each, pairs = 100, list(permutations(range(4), 2))
    first, second = (
        draw.frames(4, range(each * len(pairs)))[:, 0].tolist() for draw in Freeze(frame="random").draws(2)
    )
    counts = Counter(zip(first, second, strict=True))
    assert set(counts) == set(pairs)
    assert sum((count - each) ** 2 / each for count in counts.values()) < chi2.ppf(0.999, len(pairs) - 1)


def test_draws_of_what_is_not_drawn():
    for frozen in (Freeze(), Freeze(frame="first"), Freeze(frame="random", draw=2)):
        assert frozen.draws(4) == (frozen,)
