"""Drawing: hand-worked frames, and procedural pictures that tell their class without being the same."""

import itertools

import numpy as np
import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.decoupled_videos.procedural import face_image, place_class, place_image
from pvbias.plugins.decoupled_videos.rendering import Format, MovingImage


def native(height, width):
    return height, width


def test_hand_worked_frames():
    background = np.full((8, 8, 3), 7, np.uint8)
    brush = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) + 100
    video = MovingImage(background, brush, np.array([(0, 0), (3, 1), (6, 6)]), fps=2.0)
    expected = np.full((3, 8, 8, 3), 7, np.uint8)
    for frame, rows, columns in ((0, (0, 1), (0, 1)), (1, (1, 2), (3, 4)), (2, (6, 7), (6, 7))):
        for y in range(2):
            for x in range(2):
                expected[frame, rows[y], columns[x]] = brush[y, x]
    assert video.duration == 1.5
    assert video.timestamps.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(video.read([0.0, 0.5, 1.0], native), expected)
    np.testing.assert_array_equal(video.read([1.2, 0.0, 1.0, 0.3], native), expected[[2, 0, 2, 0]])
    assert (background == 7).all()


def test_the_frame_shown_is_the_last_that_has_come_up():
    corners = np.stack([np.arange(30), np.zeros(30, int)], axis=1)
    video = MovingImage(np.zeros((32, 32, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8), corners, fps=30.0)

    def shown(time):
        return int(video.read([time], native)[0, 0, :, 0].argmax())

    assert [shown(number / 30) for number in range(30)] == list(range(30))
    assert shown(0.5 - 0.0005) == 15, "up to a millisecond early, as in files"
    assert shown(0.5 - 0.002) == 14
    assert shown(1.0) == 29, "the end of the last frame"


def test_other_sizes_show_the_same_picture():
    background = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    video = MovingImage(background, np.zeros((8, 8, 3), np.uint8), np.array([(0, 0), (24, 24)]), fps=1.0)
    half = video.read([1.0, 0.0], lambda height, width: (height // 2, width // 2)).astype(int)
    assert half.shape == (2, 16, 16, 3)
    for frame, brush, rest in ((half[1], (0, 0), (15, 15)), (half[0], (15, 15), (0, 0))):
        assert np.abs(frame[brush]).max() <= 2
        assert np.abs(frame[rest] - (200, 100, 50)).max() <= 2


def test_the_true_flow_moves_each_frame_onto_the_next():
    brush = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) + 100
    corners = np.array([(0, 0), (3, 1), (6, 6)])
    video = MovingImage(np.zeros((8, 8, 3), np.uint8), brush, corners, fps=2.0)
    field = video.velocity([1.0, 0.0, 0.5], native)
    assert field.shape == (3, 8, 8, 2)
    ways = {0: (0, 0, (3, 1)), 1: (3, 1, (3, 5)), 2: (6, 6, (3, 5))}  # the last goes on as before
    for place, frame in enumerate((2, 0, 1)):
        x, y, way = ways[frame]
        expected = np.zeros((8, 8, 2))
        expected[y : y + 2, x : x + 2] = np.array(way) * 2.0  # pixels a second
        np.testing.assert_array_equal(field[place], expected)
    half = video.velocity([0.0], lambda height, width: (height // 2, width))
    assert half.shape == (1, 4, 8, 2)
    assert half[0, 0, 0].tolist() == pytest.approx([6.0, 1.0], rel=0.3)  # half a row of the brush is blurred


def test_the_brush_stays_inside_the_frame():
    positions = np.array([(0, 0), (1, 1), (0.5, 0.25), (1, 0)], np.float32)
    format = Format(size=8, brush_size=2, frames=4, fps=30.0)
    assert format.corners(positions).tolist() == [[0, 0], [6, 6], [3, 2], [6, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, r"DECOUPLED\.SIZE = 7 must be at least 8"),
        ({"brush_size": 65}, r"DECOUPLED\.BRUSH_SIZE = 65 must lie in \[1, 64\].*DECOUPLED\.SIZE = 64"),
        ({"brush_size": 0}, r"DECOUPLED\.BRUSH_SIZE = 0"),
        ({"frames": 1}, r"DECOUPLED\.FRAMES = 1"),
        ({"fps": 0.0}, r"DECOUPLED\.FPS = 0\.0"),
    ],
)
def test_impossible_formats(options, message):
    with pytest.raises(ConfigError, match=message):
        Format(**({"size": 64, "brush_size": 8, "frames": 10, "fps": 30.0} | options))


def test_made_up_pictures():
    for make in (lambda rng: place_image(3, 40, rng), lambda rng: face_image(40, rng)):
        first, again, other = (make(np.random.default_rng([0, seed])) for seed in (1, 1, 2))
        assert first.shape == (40, 40, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
        assert np.abs(first.astype(int) - other).mean() > 5, "each picture is new"


def test_classes_of_places_differ_from_their_neighbours():
    def number(place):
        return np.array([place.line, *place.hues[:2], *place.saturations, *place.values, place.clouds])

    classes = [place_class(index) for index in range(256)]
    assert len(set(classes)) == 256
    for one, next_one in itertools.pairwise(classes):
        assert np.abs(number(one) - number(next_one)).max() > 0.2


def test_pictures_tell_their_place():
    """The nearest mean picture of two classes, by colour in a 4 x 4 grid, is mostly that of the own class."""

    def features(place, seeds):
        images = [place_image(place, 32, np.random.default_rng([9, seed])) for seed in seeds]
        return np.stack([image.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).ravel() for image in images])

    correct = []
    for pair in ((0, 1), (2, 3), (10, 11), (40, 41)):
        means = [features(place, range(40)).mean(axis=0) for place in pair]
        for own, place in enumerate(pair):
            distances = [np.linalg.norm(features(place, range(100, 140)) - mean, axis=1) for mean in means]
            correct.append(np.mean(distances[own] < distances[1 - own]))
    assert np.mean(correct) > 0.8
