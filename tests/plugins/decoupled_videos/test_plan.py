"""Which pairs of appearance and motion the videos have: counted, against closed forms."""

from collections import Counter
from itertools import product

import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.decoupled_videos.plan import Plan

SIZES = [(10, 10), (8, 16), (16, 8), (3, 4), (6, 4), (15, 10), (1, 5), (5, 1)]


def pairs(appearances, motions, videos, *, split="train", seed=0, **options):
    plan = Plan(appearances=appearances, motions=motions, split=split, seed=seed, videos=videos, **options)
    return [(plan[index].appearance, plan[index].motion) for index in range(len(plan))]


@pytest.mark.parametrize(("appearances", "motions"), SIZES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_balanced_pairs_are_all_equally_often(appearances, motions, split):
    period = appearances * motions
    drawn = pairs(appearances, motions, 2 * period + 7, split=split)
    everything = Counter(product(range(appearances), range(motions)))
    for first in (0, 1, period // 2, period + 7):
        assert Counter(drawn[first : first + period]) == everything
    few = drawn[: max(appearances, motions)]
    assert len({appearance for appearance, _ in few}) == appearances, "a few videos show all appearances"
    assert len({motion for _, motion in few}) == motions


def test_equal_numbers_tie_each_motion_to_one_appearance():
    assert all(appearance == motion for appearance, motion in pairs(10, 10, 300, rho=1.0))


def test_unequal_numbers_tie_modulo_the_smaller():
    assert {(motion, appearance) for appearance, motion in pairs(4, 8, 400, rho=1.0)} == {(m, m % 4) for m in range(8)}
    drawn = Counter(pairs(8, 4, 4000, rho=1.0))
    assert set(drawn) == {(appearance, appearance % 4) for appearance in range(8)}
    assert max(drawn.values()) - min(drawn.values()) < 6 * (1000 / 4) ** 0.5, "two of each motion, equally likely"


@pytest.mark.parametrize(("appearances", "motions"), [(10, 10), (4, 8), (8, 4), (15, 10)])
@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5, 0.9])
def test_how_often_training_videos_are_tied(appearances, motions, rho):
    videos = 12_000
    drawn = pairs(appearances, motions, videos, rho=rho)
    smaller = min(appearances, motions)
    expected = rho + (1 - rho) / smaller
    tied = sum((appearance - motion) % smaller == 0 for appearance, motion in drawn) / videos
    assert tied == pytest.approx(expected, abs=1e-9 if rho == 0 else 4 * (expected * (1 - expected) / videos) ** 0.5)
    assert set(Counter(motion for _, motion in drawn).values()) == {videos // motions}, "motions stay balanced"


def test_what_colour_biased_digits_call_it():
    """ "A fraction r of the digits has its own colour, the others one of the other nine": rho = (r - 0.1) / 0.9."""
    fraction = 0.7
    drawn = pairs(10, 10, 10_000, rho=(fraction - 0.1) / 0.9)
    own = Counter(appearance == motion for appearance, motion in drawn)
    assert own[True] / 10_000 == pytest.approx(fraction, abs=0.02)
    others = Counter((appearance - motion) % 10 for appearance, motion in drawn if appearance != motion)
    assert min(others.values()) / 10_000 == pytest.approx((1 - fraction) / 9, abs=0.01)


@pytest.mark.parametrize(("appearances", "motions"), [(10, 10), (8, 16), (16, 8), (15, 10)])
def test_in_context_and_out_of_context(appearances, motions):
    smaller = min(appearances, motions)
    tied = {(a, m) for a, m in product(range(appearances), range(motions)) if (a - m) % smaller == 0}
    videos = 2 * appearances * motions
    inside, outside = (pairs(appearances, motions, videos, split="test", context=c) for c in ("in", "out"))
    assert set(inside) == tied
    assert set(outside) == set(product(range(appearances), range(motions))) - tied
    for drawn in (inside, outside):
        assert set(Counter(motion for _, motion in drawn).values()) == {videos // motions}


def test_out_of_context_pairs_are_equally_often():
    assert set(Counter(pairs(10, 10, 180, split="val", context="out")).values()) == {2}


def test_context_is_for_tests_and_rho_for_training():
    assert pairs(10, 10, 200, context="out") == pairs(10, 10, 200)
    assert pairs(10, 10, 200, split="test", rho=1.0) == pairs(10, 10, 200, split="test")


def test_tests_tied_as_in_training():
    drawn = pairs(10, 10, 10_000, split="test", context="train", rho=0.5)
    assert sum(appearance == motion for appearance, motion in drawn) / 10_000 == pytest.approx(0.55, abs=0.02)
    assert drawn != pairs(10, 10, 10_000, rho=0.5), "other videos than those of training"
    assert pairs(10, 10, 300, split="test", context="train") == pairs(10, 10, 300, split="test")


def test_a_pure_function_of_seed_split_and_index():
    drawn = pairs(10, 10, 300, rho=0.5)
    assert pairs(10, 10, 100, rho=0.5) == drawn[:100], "whatever the number of videos"
    assert pairs(10, 10, 300, rho=0.5, seed=1) != drawn
    plan = Plan(appearances=10, motions=10, split="train", seed=0, videos=300, rho=0.5)
    assert [plan[index].appearance for index in (250, 3, 3)] == [drawn[index][0] for index in (250, 3, 3)]
    with pytest.raises(IndexError):
        plan[300]


def test_generators_of_videos_differ():
    streams = {
        tuple(Plan(appearances=10, motions=10, split=split, seed=seed, videos=9).rng(index).integers(2**60, size=2))
        for split, seed, index in product(("train", "val", "test"), range(3), range(9))
    }
    assert len(streams) == 81


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 1.5}, r"DECOUPLED\.RHO = 1\.5 must lie in \[0, 1\]"),
        ({"rho": -0.1}, r"DECOUPLED\.RHO"),
        ({"context": "outside"}, r"DECOUPLED\.CONTEXT = 'outside' must be one of 'balanced', 'in', 'out', 'train'"),
        ({"videos": 0}, r"DECOUPLED\.TEST_VIDEOS = 0"),
        ({"seed": -1}, r"DECOUPLED\.SEED = -1"),
        ({"context": "out", "appearances": 1}, "every appearance is tied to every motion"),
        ({"context": "out", "motions": 1}, "every appearance is tied to every motion"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        Plan(**({"appearances": 10, "motions": 10, "split": "test", "seed": 0, "videos": 10} | options))
