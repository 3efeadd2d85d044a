"""Sizes, positions and colours of crops."""

from collections import Counter

import numpy as np
import pytest

from pvbias.data.transforms import TestViews, TrainAugmentation

RAMP = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, None, :, None], (3, 40, 100, 3))


def test_test_crops_lie_along_the_long_side():
    views = TestViews(short_side=40, crop_size=40, num_crops=3)
    assert views.size(80, 200) == (40, 100)
    assert [crop[0, 0, 0, 0] for crop in views.crops(RAMP)] == [0, 30, 60]
    upright = RAMP.transpose(0, 2, 1, 3)
    assert [crop[0, 0, 0, 0] for crop in views.crops(upright)] == [0, 30, 60]
    (centre,) = TestViews(short_side=40, crop_size=20, num_crops=1).crops(RAMP)
    assert centre.shape == (3, 20, 20, 3)
    assert centre[0, 0, 0, 0] == 40


def test_crops_that_cannot_be_exactly_in_the_centre():
    """40 x 100 pixels less 27: 6.5 and 36.5 are left on either side. torchvision's centre crop rounds to even,
    PyTorchVideo's and SlowFast's up."""
    position = np.stack(np.broadcast_arrays(np.arange(40)[:, None], np.arange(100), 0), axis=-1).astype(np.uint8)[None]
    for center_up, corners in ((False, [(6, 0), (6, 36), (6, 73)]), (True, [(7, 0), (7, 37), (7, 73)])):
        views = TestViews(short_side=40, crop_size=27, num_crops=3, center_up=center_up)
        assert [tuple(crop[0, 0, 0, :2]) for crop in views.crops(position)] == corners


@pytest.mark.parametrize("shape", [(40, 100), (100, 40)])
def test_test_crops_are_in_the_middle_of_the_short_side(shape):
    """20 of 40 pixels across the long side, wherever along it the crop is."""
    rows, columns = np.indices(shape, dtype=np.uint8)
    position = np.stack([rows, columns, rows], axis=-1)[None]
    for crops, along in ((1, [40]), (3, [0, 40, 80])):
        found = TestViews(short_side=40, crop_size=20, num_crops=crops).crops(position)
        expected = [(10, start) if shape == (40, 100) else (start, 10) for start in along]
        assert [tuple(crop[0, 0, 0, :2]) for crop in found] == expected
        assert all(crop.shape == (1, 20, 20, 3) for crop in found)


def test_a_training_crop_may_be_anywhere_up_to_the_last_offset():
    """24 of 27 x 29 pixels: 4 offsets down and 6 to the right, all equally likely."""
    rng = np.random.default_rng(0)
    augmentation = TrainAugmentation(crop_size=24, short_sides=(27, 27), flip=False)
    rows, columns = np.indices((27, 29), dtype=np.uint8)
    position = np.stack([rows, columns, rows], axis=-1)[None]
    corners = [tuple(augmentation.draw(rng).clip(position)[0, 0, 0, :2].tolist()) for _ in range(2400)]
    counts = Counter(corners)
    assert counts.keys() == {(top, left) for top in range(4) for left in range(6)}
    assert 60 < min(counts.values()) <= max(counts.values()) < 150  # 100 on average, 10 of standard deviation


@pytest.mark.parametrize("areas", [(), (0.08, 1.0)])
@pytest.mark.parametrize("shape", [(2, 2), (4, 10_000), (9_000, 3), (1080, 1920), (17, 16), (1, 1)])
def test_any_frame_gives_a_crop_of_exactly_the_right_size(areas, shape):
    rng = np.random.default_rng(1)
    augmentation = TrainAugmentation(crop_size=24, short_sides=(24, 32), areas=areas)
    test = TestViews(short_side=28, crop_size=24, num_crops=3)
    for _ in range(20):
        view = augmentation.draw(rng)
        height, width = view.size(*shape)
        assert height * width <= 8 * 32 * 8 * 32
        assert view.clip(np.zeros((2, height, width, 3), np.uint8)).shape == (2, 24, 24, 3)
    height, width = test.size(*shape)
    assert all(crop.shape == (2, 24, 24, 3) for crop in test.crops(np.zeros((2, height, width, 3), np.uint8)))


def test_short_side_jitter_covers_its_range():
    rng = np.random.default_rng(0)
    augmentation = TrainAugmentation(crop_size=24, short_sides=(24, 32))
    sizes = {augmentation.draw(rng).size(100, 200) for _ in range(300)}
    assert sizes == {(side, 2 * side) for side in range(24, 33)}


def test_multi_scale_crops_have_the_areas_and_aspects_asked_for():
    rng = np.random.default_rng(0)
    augmentation = TrainAugmentation(crop_size=100, short_sides=(100, 100), areas=(0.2, 0.5), aspects=(0.8, 1.25))
    sizes = np.array([augmentation.draw(rng).size(300, 400) for _ in range(500)])
    height, width = 100 * 300 / sizes[:, 0], 100 * 400 / sizes[:, 1]  # of the crop, in the original frame
    share = height * width / (300 * 400)
    assert share.min() > 0.19
    assert share.max() < 0.51
    assert share.mean() == pytest.approx(0.35, abs=0.01)
    assert (width / height).min() > 0.79
    assert (width / height).max() < 1.27
    wide = TrainAugmentation(crop_size=100, short_sides=(100, 100), areas=(0.25, 0.25), aspects=(2.0, 2.0)).draw(rng)
    assert wide.size(300, 400) == (245, 163)  # of 122.5 x 244.9 pixels


def test_corner_crops_are_squares_at_the_corners_and_in_the_centre():
    """20 pixels of a frame of 60 x 90: the short side becomes 20 or 40, which leaves 10, or 20 and 40, to lie in."""
    rng = np.random.default_rng(3)
    augmentation = TrainAugmentation(crop_size=20, short_sides=(20, 20), corner_scales=(1.0, 0.5), flip=False)
    drawn = Counter()
    for _ in range(2000):
        view = augmentation.draw(rng)
        height, width = view.size(60, 90)
        rows, columns = np.indices((height, width), dtype=np.uint8)
        clip = view.clip(np.stack([rows, columns, rows], axis=-1)[None])
        assert clip.shape == (1, 20, 20, 3)
        drawn[(height, *clip[0, 0, 0, :2].tolist())] += 1
    whole, half = {(20, 0, left) for left in (0, 5, 10)}, {(40, *corner) for corner in corners(20, 40)}
    assert drawn.keys() == whole | half
    assert all(150 < drawn[each] < 250 for each in half)  # 200 on average, 13 of standard deviation


def corners(down, right):
    return [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]


def test_flip_is_half_of_the_time_and_can_be_turned_off():
    def first_columns(flip):
        rng = np.random.default_rng(0)
        augmentation = TrainAugmentation(crop_size=40, short_sides=(40, 40), flip=flip)
        return [int(augmentation.draw(rng).clip(RAMP)[0, 0, 0, 0] > 60) for _ in range(400)]

    # unflipped, a crop's first column is at most 60
    assert sum(first_columns(False)) == 0
    clips = [TrainAugmentation(crop_size=40, short_sides=(40, 40)).draw(np.random.default_rng(s)) for s in range(400)]
    mirrored = sum(int(c[0, 0, 0, 0]) > int(c[0, 0, -1, 0]) for c in (view.clip(RAMP) for view in clips))
    assert 160 < mirrored < 240
