"""Pen paths: digits that the test writes itself, stroke by stroke, are traced back in the order they were written."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pvbias.errors import DataError
from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.plugins.decoupled_videos.trajectories import digit_path, greedy_path, pen_strokes, positions


def arc(x, y, width, height, start, end, points=24):
    """Part of an ellipse around (x, y); angles in degrees, 0 to the right, 90 up, so growing is counterclockwise."""
    angles = np.radians(np.linspace(start, end, points))
    return [(x + width * np.cos(a), y - height * np.sin(a)) for a in angles]


#: (name, digit, strokes in the order and direction of writing), in the unit square with y downwards
WRITTEN = [
    ("0", 0, [arc(0.4, 0.5, 0.4, 0.5, 90, 450)]),
    ("0 narrow and leaning", 0, [[(x + 0.5 * (1 - y), y) for x, y in arc(0.3, 0.5, 0.22, 0.5, 90, 450)]]),
    ("1", 1, [[(0.5, 0), (0.5, 1)]]),
    ("1 leaning", 1, [[(0.8, 0), (0, 1)]]),
    ("1 with flag", 1, [[(0, 0.3), (0.4, 0), (0.4, 1)]]),
    ("1 with flag and foot", 1, [[(0, 0.25), (0.35, 0), (0.35, 1)], [(0, 1), (0.7, 1)]]),
    ("2", 2, [[*arc(0.35, 0.3, 0.35, 0.3, 170, -40), (0, 1), (0.75, 1)]]),
    ("2 with loop", 2, [[*arc(0.4, 0.3, 0.35, 0.3, 170, -30), *arc(0.28, 0.82, 0.28, 0.18, -20, -310), (0.85, 0.98)]]),
    ("3", 3, [[*arc(0.35, 0.23, 0.33, 0.23, 150, -90), *arc(0.35, 0.72, 0.38, 0.28, 90, -150)]]),
    ("4 open", 4, [[(0.1, 0), (0, 0.6), (0.7, 0.6)], [(0.55, 0), (0.5, 1)]]),
    ("4 closed", 4, [[(0.55, 0), (0, 0.65), (0.8, 0.65)], [(0.55, 0), (0.55, 1)]]),
    ("5", 5, [[(0.7, 0), (0.1, 0), (0.05, 0.45), *arc(0.3, 0.7, 0.36, 0.3, 110, -140)]]),
    ("6", 6, [[(0.55, 0), (0.2, 0.3), (0.02, 0.65), *arc(0.35, 0.74, 0.34, 0.26, 190, 520)]]),
    ("7", 7, [[(0, 0), (0.7, 0), (0.3, 1)]]),
    ("7 with bar", 7, [[(0, 0), (0.7, 0), (0.3, 1)], [(0.15, 0.5), (0.8, 0.5)]]),
    ("8", 8, [[*arc(0.35, 0.25, 0.27, 0.25, 20, 270), *arc(0.35, 0.75, 0.33, 0.25, 90, -270),
               *arc(0.35, 0.25, 0.27, 0.25, -90, 20)]]),
    ("9", 9, [[*arc(0.32, 0.28, 0.32, 0.28, 20, 350), (0.62, 0.2), (0.5, 1)]]),
    ("9 curled", 9, [[*arc(0.32, 0.25, 0.3, 0.25, 20, 375), (0.63, 0.75), *arc(0.3, 0.75, 0.32, 0.25, 0, -150)]]),
]  # fmt: skip
each_written = pytest.mark.parametrize(("digit", "strokes"), [pytest.param(*rest, id=name) for name, *rest in WRITTEN])


def write(strokes, pen=2, at=(4, 4), size=20, canvas=(28, 28)):
    """uint8 image of strokes in the unit square, drawn large and shrunk so that edges are soft."""
    big = 8
    image = Image.new("L", (canvas[1] * big, canvas[0] * big))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [((at[0] + x * size) * big, (at[1] + y * size) * big) for x, y in stroke]
        draw.line(points, fill=255, width=pen * big, joint="curve")
        for x, y in points:
            half = pen * big / 2
            draw.ellipse([x - half, y - half, x + half, y + half], fill=255)
    return np.asarray(image.resize(canvas[::-1], Image.Resampling.BOX))


def pen_of(strokes, frames):
    """The pen that wrote the strokes, at equal times, fitted into the unit square; lifting it takes no time."""
    points = np.concatenate([np.array(dense(stroke)) for stroke in strokes])
    times = np.linspace(0, len(points) - 1, frames).round().astype(int)
    low, high = points.min(axis=0), points.max(axis=0)
    return ((points - (low + high) / 2) / (high - low).max() + 0.5)[times]


def dense(stroke, step=0.001):
    points = []
    for (x1, y1), (x2, y2) in itertools.pairwise(stroke):
        number = max(1, round(np.hypot(x2 - x1, y2 - y1) / step))
        points += [(x1 + (x2 - x1) * i / number, y1 + (y2 - y1) * i / number) for i in range(number)]
    return [*points, stroke[-1]]


def step_lengths(path):
    return np.hypot(*np.diff(path, axis=0).T)


def jumps(path):
    return int((step_lengths(path) > 3 * np.median(step_lengths(path))).sum())


@each_written
@pytest.mark.parametrize("pen", [2, 3])
def test_the_pen_goes_as_it_was_written(digit, strokes, pen):
    path = digit_path(write(strokes, pen), digit)
    followed, truth = positions([path], 40), pen_of(strokes, 40)
    apart = np.hypot(*(followed - truth).T).mean()
    backwards = np.hypot(*(followed - truth[::-1]).T).mean()
    assert apart < 0.08
    assert backwards > 0.2
    assert jumps(path) == len(strokes) - 1


@each_written
def test_a_path_lies_in_the_unit_square_and_fills_it(digit, strokes):
    path = digit_path(write(strokes), digit)
    assert path.dtype == np.float32
    assert path.shape[1] == 2
    assert path.min() >= 0
    assert path.max() <= 1
    assert np.ptp(path, axis=0).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose((path.min(axis=0) + path.max(axis=0)) / 2, 0.5, atol=1e-5)  # centred


@each_written
def test_points_are_equally_spaced_along_strokes(digit, strokes):
    steps = step_lengths(digit_path(write(strokes), digit))
    drawn = steps[steps < 3 * np.median(steps)]
    assert len(drawn) == len(steps) - (len(strokes) - 1)
    assert drawn.max() < 1.15 * np.median(drawn)
    assert np.mean(drawn > 0.9 * np.median(drawn)) > 0.8  # chords across corners are shorter


def test_an_upright_1_is_drawn_straight_down():
    path = digit_path(write([[(0.5, 0), (0.5, 1)]]), 1)
    assert np.ptp(path[:, 0]) < 0.03
    assert (np.diff(path[:, 1]) > 0).all()


def test_0_is_drawn_counterclockwise_from_the_top_to_where_it_began():
    path = digit_path(write([arc(0.5, 0.5, 0.5, 0.5, 0, 360)]), 0).astype(float)
    x, y = path.T
    area = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2
    assert area == pytest.approx(-np.pi / 4, rel=0.05)  # y is downwards: counterclockwise is negative
    assert y[0] < 0.05
    assert np.hypot(*(path[-1] - path[0])) < 0.1


def test_a_filled_loop_is_gone_around_all_the_same():
    image = write([[(0.55, 0), (0.2, 0.3), (0.02, 0.65)]])
    disc = write([arc(0.4, 0.75, 0.28, 0.2, 0, 360)], pen=6)
    x, y = digit_path(np.maximum(image, disc), 6).astype(float)[32:].T
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() < -0.02  # the second half encloses something, counterclockwise


def test_specks_are_not_drawn():
    clean = write([[(0.5, 0), (0.5, 1)]])
    speckled = clean.copy()
    speckled[3, 24] = speckled[20, 4] = 255
    assert np.ptp(digit_path(speckled, 1)[:, 0]) < 0.03


@each_written
def test_a_path_depends_on_nothing_but_the_digit(digit, strokes):
    image = write(strokes, at=(2, 2), size=18)
    path = digit_path(image, digit)
    np.testing.assert_array_equal(digit_path(image.copy(), digit), path)
    np.testing.assert_array_equal(digit_path(np.roll(image, (4, 3), axis=(0, 1)), digit), path)


def test_pen_strokes_lie_over_the_image():
    strokes = pen_strokes(write([[(0.1, 0), (0, 0.6), (0.7, 0.6)], [(0.55, 0), (0.5, 1)]]), 4)
    assert len(strokes) == 2
    # The middle of pixel i is i: 4 + 20 * x in the drawing is at 3.5 + 20 * x.
    np.testing.assert_allclose(strokes[0][0], [5.5, 3.5], atol=1.2)
    np.testing.assert_allclose(strokes[0][-1], [17.5, 15.5], atol=1.2)
    np.testing.assert_allclose(strokes[1][0], [14.5, 3.5], atol=1.2)
    np.testing.assert_allclose(strokes[1][-1], [13.5, 23.5], atol=1.2)


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (5, 60)])
def test_any_image_that_is_not_blank_has_a_path(digit, shape):
    rng = np.random.default_rng(digit)
    dot = np.zeros(shape, np.uint8)
    dot[0, -1] = 1
    noise = rng.integers(1, 256, shape).astype(np.uint8)
    sparse = np.where(rng.random(shape) < 0.1, 255, 0).astype(np.uint8)
    for image in (dot, noise, np.full(shape, 255, np.uint8), np.maximum(sparse, dot)):
        path = digit_path(image, digit)
        assert len(path) >= 2
        assert np.isfinite(path).all()
        assert path.min() >= 0
        assert path.max() <= 1
    np.testing.assert_allclose(digit_path(dot, digit), 0.5, atol=0.35)


def test_a_blank_image_is_an_error():
    with pytest.raises(DataError, match="blank"):
        digit_path(np.zeros((28, 28), np.uint8), 3)


def test_positions_run_through_a_path_at_constant_speed():
    path = np.array([[0, 0], [0.25, 0], [0.5, 0], [0.5, 0.25], [0.5, 0.5]], np.float32)
    expected = [
        [0, 0],
        [0.125, 0],
        [0.25, 0],
        [0.375, 0],
        [0.5, 0],
        [0.5, 0.125],
        [0.5, 0.25],
        [0.5, 0.375],
        [0.5, 0.5],
    ]
    np.testing.assert_allclose(positions([path], 9), expected, atol=1e-6)
    assert positions([path], 9).dtype == np.float32
    assert positions([path], 1).shape == (1, 2)


def test_lifting_the_pen_takes_no_time():
    path = np.array([[0, 0], [0.1, 0], [0.2, 0], [0.8, 1], [0.9, 1], [1, 1]], np.float32)
    pen = positions([path], 8)  # 0.4 to draw in 7 steps
    drawn = np.linspace(0, 0.4, 8)
    np.testing.assert_allclose(pen[:, 0], drawn + 0.6 * (np.arange(8) > 3), atol=1e-6)
    np.testing.assert_array_equal(pen[:, 1], [0, 0, 0, 0, 1, 1, 1, 1])


def test_digits_of_a_number_share_the_frames_equally():
    across = np.array([[0, 0], [0.5, 0], [1, 0]], np.float32)
    down = np.array([[0.5, 0], [0.5, 1]], np.float32)
    np.testing.assert_allclose(
        positions([across, down], 6), [[0, 0], [0.5, 0], [1, 0], [0.5, 0], [0.5, 0.5], [0.5, 1]], atol=1e-6
    )
    np.testing.assert_allclose(
        positions([across, down], 5), [[0, 0], [1, 0], [0.5, 0], [0.5, 0.5], [0.5, 1]], atol=1e-6
    )


def nearest_class(folder, each):
    """Shares of test digits whose motion, and whose motion reversed, is nearest to a training digit of their class."""
    motions, labels = {}, {}
    for split in ("train", "test"):
        digits = load_digits(folder, split)
        chosen = np.concatenate([indices[:each] for indices in digits.of_class])
        labels[split] = digits.labels[chosen]
        motions[split] = np.stack([positions([digit_path(digits.images[i], digits.labels[i])], 16) for i in chosen])

    def found(queries):
        squares = ((queries[:, None] - motions["train"]) ** 2).sum(axis=(2, 3))
        return labels["train"][squares.argmin(axis=1)]

    return [np.mean(found(queries) == labels["test"]) for queries in (motions["test"], motions["test"][:, ::-1])]


def test_motions_of_real_digits_tell_the_digit_and_reversed_ones_do_not():
    forward, backward = nearest_class("", 20)
    assert forward > 0.95
    assert backward < 0.25


def test_motions_of_mnist_tell_the_digit_and_reversed_ones_do_not():
    if "PVBIAS_REAL_DATA" not in os.environ:
        pytest.skip("PVBIAS_REAL_DATA is not set")
    forward, backward = nearest_class(str(Path(os.environ["PVBIAS_REAL_DATA"]) / "mnist"), 40)
    assert forward > 0.9
    assert backward < 0.25


def test_the_greedy_control_follows_a_line_as_the_walk_does():
    """An upright 1 from the top, and a 7: along to the right, then down."""
    down = greedy_path(write([[(0.5, 0), (0.5, 1)]]), 1)
    assert np.ptp(down[:, 0]) < 0.03
    assert (np.diff(down[:, 1]) > 0).all()
    seven = write([[(0, 0), (0.7, 0), (0.3, 1)]])
    apart = np.hypot(*(positions([greedy_path(seven, 7)], 40) - positions([digit_path(seven, 7)], 40)).T)
    assert apart.mean() < 0.1


def test_the_greedy_control_draws_all_of_the_skeleton_and_jumps_where_the_walk_goes_on():
    """A 4 of two strokes is one line for it: it jumps to what it has left out, and the walk lifts the pen once."""
    four = write([[(0.1, 0), (0, 0.6), (0.7, 0.6)], [(0.55, 0), (0.5, 1)]])
    drawn, written = greedy_path(four, 4), digit_path(four, 4)
    away = np.hypot(*(written[:, None] - drawn[None]).transpose(2, 0, 1)).min(axis=1)
    assert away.max() < 0.1
    assert jumps(drawn) >= 1
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(greedy_path(four.copy(), 4), drawn)
    with pytest.raises(DataError, match="blank"):
        greedy_path(np.zeros((28, 28), np.uint8), 3)
