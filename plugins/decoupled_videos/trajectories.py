"""Pen trajectories from images of digits (temporality study, Appendix D, Algorithm 3).

The paper steps to the nearest remaining pixel of the skeleton along the current principal direction. Where strokes
cross or meet that takes wrong turns and leaves parts out, so the same ingredients (skeleton, anchor, ordered principal
directions) are used here for all steps at once::

    image -> ink -> skeleton pixels, upright --.
                                               +-- cheapest walk over pixels -> ends -> smoothed, equally spaced
    anchor + directions -> template points ----'

:func:`greedy_path` is the paper's algorithm, as a control.

The walk visits one pixel for each point of the template. It costs the squared distance of each pixel to its point and
the squared difference of each step to the template's step (that is: from the principal direction), and is found by
dynamic programming (Viterbi). Every sum is over whole numbers or elementwise, so that any machine gets the same path.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage
from skimage.morphology import skeletonize

from pvbias.errors import DataError

from .strokes import FORMS, HOLES, Form

#: Longer side of the enlarged digit that is skeletonised, pixels; lengths below are in these pixels.
_SIDE = 48
#: Ink is what is brighter than this share of the brightest; the others are tried where the digit's holes are not there.
_THRESHOLDS = (0.4, 0.55, 0.7, 0.25)
#: What keeps holes and notches of thick or blurred strokes open.
_SHARPEN = ImageFilter.UnsharpMask(radius=3, percent=200, threshold=0)
#: A separate piece of ink with less than this share of it is a speck.
_SPECK = 0.12
#: Steps of a template, all strokes together.
_STEPS = 40
#: A digit's width and height count as at least this share of the larger one: a 1 has no width to speak of.
_SLENDER = 0.25
#: Weight of the distance to the template's points; that of a step's difference to its direction is 1.
_NEAR = 0.15
#: A step over blank paper counts as this many times as long.
_BLANK = 3.0
#: Forms whose points are at most this many times as far from the skeleton as the nearest form's are tried.
_ALIKE = 1.5
#: What the choice among forms adds to the cost of a step: for the share of the skeleton that is missed (further than
#: _MISSED from the path), and for each time that the pen is lifted.
_MISSED_COST, _MISSED, _LIFT_COST = 20.0, 3.0, 1.0
#: Where a loop is filled the walk may also use every third pixel each way of the ink, at this cost for each.
_GRID, _INSIDE_COST = 3, 3.0
#: Steps of the greedy walk up to this long do not lift the pen: a skeleton has small gaps.
_NEIGHBOURS = 3.0
#: Points of a path.
_PATH_POINTS = 64
#: A step of a path longer than this many median steps is a jump with the pen up.
_PEN_UP = 2.5

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def digit_path(image: np.ndarray, digit: int) -> np.ndarray:
    """The trajectory of the pen that writes a digit, for :func:`positions`.

    Args:
        image: uint8 ``(H, W)``, white on black.
        digit: which digit it is, 0 .. 9: decides where the pen starts and how it goes on (:data:`.strokes.FORMS`).

    Returns:
        float32 ``(P, 2)``, P >= 2: (x, y), x to the right and y downwards, in the unit square, into which the path is
        fitted and centred with its aspect ratio kept. Equally spaced along each stroke; between two strokes the pen is
        lifted, which shows as a step that is longer. The path of a mere dot is in the middle.

    Raises:
        DataError: the image is blank.
    """
    return _fitted(_trace(image, digit).strokes)


def greedy_path(image: np.ndarray, digit: int) -> np.ndarray:
    """The trajectory of the pen by the paper's Algorithm 3: the control of :func:`digit_path`, whose arguments, result
    and errors these are.

    It starts at the skeleton's pixel that is closest to the anchor. Each step goes to the remaining pixel that is
    closest to where the pen would be one pixel further along the principal direction, until none remains. The paper
    leaves open what "closest along p_i" is, how the directions are spread over the steps and which they are. Here they
    are those of the digit's first form (:data:`.strokes.FORMS`), as if in one stroke, each for its share of the way;
    where the next pixel is no neighbour, the pen is lifted. Ink, skeleton, smoothing and speed are those of
    :func:`digit_path`, so that only the walk differs.
    """
    if not image.any():
        raise DataError("The image of a digit to draw along is blank.")
    pixels = _skeleton_pixels(_ink(_enlarged(image)[0], HOLES.get(digit))).astype(float)
    form = FORMS[digit][0]
    ways = np.array([direction for stroke in form for direction in stroke.directions])
    ends = np.cumsum(_norm(ways))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    pen = low + np.array(form[0].anchor) * (high - low)
    walk: list[np.ndarray] = []
    for share in np.arange(len(pixels)) / len(pixels):
        if walk:
            pen = pen + _unit(ways[np.searchsorted(ends, share * ends[-1], side="right")])
        nearest = ((pixels - pen) ** 2).sum(axis=1).argmin()
        pen = pixels[nearest]
        walk.append(pen)
        pixels = np.delete(pixels, nearest, axis=0)
    lifted = np.flatnonzero(_steps(np.array(walk)) > _NEIGHBOURS) + 1
    return _fitted([_smoothed(stroke) for stroke in np.split(np.array(walk), lifted)])


def _fitted(strokes: Sequence[np.ndarray]) -> np.ndarray:
    """The path of :func:`digit_path` along strokes ``(n, 2)``."""
    lengths = [_steps(stroke).sum() for stroke in strokes]
    spacing = max(sum(lengths) / (_PATH_POINTS - 1), 1e-6)
    points = np.concatenate(
        [
            _resampled(stroke, max(2, round(length / spacing) + 1))
            for stroke, length in zip(strokes, lengths, strict=True)
        ]
    )
    low, high = points.min(axis=0), points.max(axis=0)
    extent = max((high - low).max(), _SIDE / 10)  # a dot stays a dot
    return np.clip((points - (low + high) / 2) / extent + 0.5, 0, 1).astype(np.float32)


def pen_strokes(image: np.ndarray, digit: int) -> list[np.ndarray]:
    """The same way over the image itself: for each stroke the float64 ``(n, 2)`` (x, y) of its points, in pixels of the
    image (0 is the middle of the first one). Arguments and errors are those of :func:`digit_path`.
    """
    trace = _trace(image, digit)
    return [trace.to_image(stroke) for stroke in trace.strokes]


def positions(paths: Sequence[np.ndarray], frames: int) -> np.ndarray:
    """The positions of the pen in each frame: float32 ``(frames, 2)``.

    The paths of :func:`digit_path` are drawn one after another, each in an equal share of the frames (to within one),
    from its first point to its last at constant speed. Lifting the pen takes no time.
    """
    drawn = np.empty((frames, 2), np.float32)
    borders = [frames * number // len(paths) for number in range(len(paths) + 1)]
    for path, (first, end) in zip(paths, pairwise(borders), strict=True):
        steps = _steps(path)
        steps[steps > _PEN_UP * np.median(steps)] = 0
        time = np.concatenate([[0.0], np.cumsum(steps)])
        moments = np.linspace(0, time[-1], end - first)
        for axis in range(2):
            drawn[first:end, axis] = np.interp(moments, time, path[:, axis])
    return drawn


class _Trace(NamedTuple):
    """Strokes and skeleton pixels ``(n, 2)`` in the enlarged digit, and how that lies in the image."""

    strokes: list[np.ndarray]
    pixels: np.ndarray
    scale: float
    origin: np.ndarray

    def to_image(self, points: np.ndarray) -> np.ndarray:
        return (points + 0.5) / self.scale + self.origin - 0.5


def _trace(image: np.ndarray, digit: int) -> _Trace:
    if not image.any():
        raise DataError("The image of a digit to draw along is blank.")
    grey, scale, origin = _enlarged(image)
    ink = _ink(grey, HOLES.get(digit))
    pixels = _skeleton_pixels(ink)
    filled = digit in HOLES and ndimage.label(~ink)[1] < 1 + HOLES[digit]
    inside = _inside_pixels(ink, pixels) if filled else pixels[:0]
    strokes = _walk(pixels, inside, ink, _TEMPLATES[digit])
    drawn = np.concatenate(strokes)
    ended = [_prolonged(_prolonged(stroke[::-1], pixels, drawn)[::-1], pixels, drawn) for stroke in strokes]
    return _Trace([_smoothed(stroke) for stroke in ended], pixels, scale, origin)


def _enlarged(image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The digit cut out with a margin and enlarged, brightest value 1; the scale, and where its corner was."""
    bright = image > 0.3 * image.max()
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    margin = 2
    box = np.zeros((bottom - top + 2 * margin, right - left + 2 * margin), np.uint8)
    box[margin:-margin, margin:-margin] = image[top:bottom, left:right]
    scale = _SIDE / max(box.shape)
    height, width = (max(round(side * scale), 1) for side in box.shape)
    smooth = Image.fromarray(box).resize((width, height), Image.Resampling.BICUBIC)
    grey = np.asarray(smooth.filter(_SHARPEN), np.float32)
    return grey / grey.max(), scale, np.array([left - margin, top - margin])


def _ink(grey: np.ndarray, holes: int | None) -> np.ndarray:
    """bool ``(h, w)``: the digit in one piece with its number of holes, if any threshold gives that; without specks."""
    if holes is not None:
        for threshold in _THRESHOLDS:
            ink = grey > threshold
            if ndimage.label(~ink)[1] == 1 + holes and ndimage.label(ink, _EIGHT_NEIGHBOURS)[1] == 1:
                return ink
    ink = grey > _THRESHOLDS[0]
    pieces, number = ndimage.label(ink, _EIGHT_NEIGHBOURS)
    if number == 1:
        return ink
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= min(_SPECK * sizes.sum(), sizes.max()))[pieces] & ink


def _skeleton_pixels(ink: np.ndarray) -> np.ndarray:
    """int64 ``(n, 2)``: (x, y) of the skeleton."""
    ys, xs = np.nonzero(skeletonize(ink))
    if not len(xs):  # skeletonize can rub out a dot
        ys, xs = (axis[:1] for axis in np.nonzero(ink))
    return np.stack([xs, ys], axis=1)


def _inside_pixels(ink: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """int64 ``(k, 2)``: pixels well inside the ink and off its skeleton, for a loop that is filled to go through."""
    ys, xs = np.nonzero(ndimage.binary_erosion(ink, iterations=2)[::_GRID, ::_GRID])
    points = np.stack([xs, ys], axis=1) * _GRID
    return points[_squared_distances(pixels, points).min(axis=0) >= 4]


class _Template(NamedTuple):
    """A form as points ``(m, 2)``, upright and in the square [-0.5, 0.5]; ``starts``: the first points of its strokes
    after the first one."""

    points: np.ndarray
    starts: frozenset[int]


def _template(form: Form) -> _Template:
    lines = [np.cumsum([stroke.anchor, *stroke.directions], axis=0) for stroke in form]
    lengths = [_steps(line).sum() for line in lines]
    numbers = [max(2, round(_STEPS * length / sum(lengths))) for length in lengths]
    points = np.concatenate([_resampled(line, number) for line, number in zip(lines, numbers, strict=True)])
    points = _upright(points)
    middle, size = _middle_and_size(points)
    return _Template(((points - middle) / size).astype(np.float32), frozenset(np.cumsum(numbers[:-1]).tolist()))


def _upright(points: np.ndarray) -> np.ndarray:
    """The points with their slant taken out: sheared until x and y are not correlated."""
    x, y = points.T
    n = len(points)
    slant = (n * (x * y).sum() - x.sum() * y.sum()) / max(n * (y * y).sum() - y.sum() ** 2, 1e-6)
    return np.stack([x - np.clip(slant, -1.5, 1.5) * y, y], axis=1)


def _middle_and_size(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low
    return (low + high) / 2, np.maximum(size, max(_SLENDER * size.max(), 1e-3))


def _walk(pixels: np.ndarray, inside: np.ndarray, ink: np.ndarray, templates: Sequence[_Template]) -> list[np.ndarray]:
    """The cheapest walk over the skeleton along any of the templates: the pixels of each stroke, in order."""
    on_skeleton = len(pixels)
    pixels = np.concatenate([pixels, inside])
    upright = _upright(pixels).astype(np.float32)
    middle, size = _middle_and_size(upright)
    targets = [template.points * size + middle for template in templates]
    distances = [_squared_distances(target, upright) for target in targets]  # (m, n)
    apart = [np.sqrt(d).min(axis=0).mean() + np.sqrt(d).min(axis=1).mean() for d in distances]
    hops = _hops(pixels, upright, ink)
    best_cost, best_walk, best_template = np.inf, np.zeros(0, np.int64), templates[0]
    for template, target, distance, form_apart in zip(templates, targets, distances, apart, strict=True):
        if form_apart > _ALIKE * min(apart):
            continue
        away = _NEAR * distance
        away[:, on_skeleton:] += _INSIDE_COST
        cost, walk = _viterbi(upright, target, away, hops, template.starts)
        if len(templates) > 1:
            missed = _squared_distances(pixels[walk], pixels[:on_skeleton]).min(axis=0) > _MISSED**2
            cost = cost / len(walk) + _MISSED_COST * missed.mean() + _LIFT_COST * len(template.starts)
        if cost < best_cost:
            best_cost, best_walk, best_template = cost, walk, template
    return np.split(pixels[best_walk].astype(float), sorted(best_template.starts))


def _hops(pixels: np.ndarray, upright: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """float32 ``(n, n)``: what a step between two pixels costs beyond what depends on the principal direction: its
    squared length, more where there is no ink half-way."""
    hops = _squared_distances(upright, upright)
    x, y = pixels.T
    blank = ~ink[(y[:, None] + y) // 2, (x[:, None] + x) // 2]
    hops[blank] *= _BLANK
    return hops


def _viterbi(
    pixels: np.ndarray, target: np.ndarray, away: np.ndarray, hops: np.ndarray, starts: frozenset[int]
) -> tuple[float, np.ndarray]:
    """Cost and pixel indices ``(m,)`` of the cheapest walk.

    Of the squared difference ``|(p - q) - s|^2`` between a step from q to p and the template's step s, ``|p - q|^2`` is
    in ``hops``; the rest, ``2 s.q - 2 s.p + |s|^2``, depends on either end alone.
    """
    steps = np.diff(target, axis=0)
    along = 2 * (steps[:, :1] * pixels[:, 0] + steps[:, 1:] * pixels[:, 1])  # (m - 1, n)
    arriving = away[1:] - along + (steps**2).sum(axis=1)[:, None]
    every = np.arange(len(pixels))
    before = np.empty(along.shape, np.int64)
    total = np.empty_like(hops)
    cost = away[0]
    for step in range(len(steps)):
        if step + 1 in starts:  # the pen is lifted: from wherever it is to anywhere
            before[step] = cost.argmin()
            cost = cost.min() + away[step + 1]
        else:
            np.add(hops, cost + along[step], out=total)  # [to, from]
            before[step] = total.argmin(axis=1)
            cost = total[every, before[step]] + arriving[step]
    walk = [int(cost.argmin())]
    for choice in before[::-1]:
        walk.append(int(choice[walk[-1]]))
    return float(cost.min()), np.array(walk[::-1])


def _prolonged(stroke: np.ndarray, pixels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The stroke carried on at its end, straight on along the skeleton to where that ends or was drawn already."""
    pixels = pixels[_squared_distances(drawn, pixels).min(axis=0) > 4]
    end = stroke[-1]
    direction = _unit(end - stroke[max(0, len(stroke) - 4)])
    added: list[np.ndarray] = []
    reach = 3.0  # the first step crosses the border of what counts as drawn
    while len(pixels):
        away = pixels - end
        distance = _norm(away)
        ahead = np.flatnonzero((distance <= reach) & ((away * direction).sum(axis=1) > 0.5 * distance))
        if not len(ahead):
            break
        nearest = ahead[distance[ahead].argmin()]
        direction = _unit(0.7 * direction + 0.3 * away[nearest] / distance[nearest])
        end = pixels[nearest].astype(float)
        added.append(end)
        pixels = pixels[distance > 0.5]
        pixels = pixels[_norm(pixels - end) > 0]
        reach = 2.0
    return np.concatenate([stroke, added]) if added else stroke


def _smoothed(stroke: np.ndarray) -> np.ndarray:
    """The corners of the pixels rounded off; the ends stay."""
    points = _resampled(stroke, 2 * len(stroke) + 1)
    for _ in range(2):
        points[1:-1] = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
    return points


def _resampled(points: np.ndarray, number: int) -> np.ndarray:
    """``number`` points at equal spacing along the polyline, its ends among them."""
    at = np.concatenate([[0.0], np.cumsum(_steps(points))])
    wanted = np.linspace(0, at[-1], number)
    return np.stack([np.interp(wanted, at, points[:, axis]) for axis in range(2)], axis=1)


def _steps(points: np.ndarray) -> np.ndarray:
    """Lengths of the steps between consecutive points."""
    return _norm(np.diff(points, axis=0))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors**2).sum(axis=-1))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(_norm(vector), 1e-6)


def _squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    dx = points[:, :1] - others[:, 0]
    dy = points[:, 1:] - others[:, 1]
    return dx * dx + dy * dy


#: What makes a path, by DECOUPLED.TRAJECTORIES.
PATHS = {"walk": digit_path, "greedy": greedy_path}

_TEMPLATES = {digit: [_template(form) for form in forms] for digit, forms in FORMS.items()}
