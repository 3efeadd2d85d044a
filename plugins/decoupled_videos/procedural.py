"""Procedural images of places and faces: each class of places is a distribution of images, each image is new.

A place is a landscape or a room: an upper and a lower part with a line between them, each with a wave and clouds over
its colour, and objects that stand on the line or lie anywhere. What of this is fixed for a class (kind of objects,
orientation and length of the waves, where the line runs, which colours) is drawn from the class's number; how many
objects there are and where, the light, and the exact values of everything else, from the picture's generator. Colours
vary much within a class and structure little, so that no single pixel tells the class, and the more classes there are,
the more of them look alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

#: Seed of the classes.
_CLASS_SEED = 20_220
_OBJECTS = ("boxes", "houses", "columns", "mountains", "trees", "discs", "beams", "arches")
#: Share of a picture's objects that are of the kind of its class; the others are of any.
_OWN_OBJECTS = 0.6
#: The golden ratio's fraction: its multiples are spread evenly over the unit interval, however many are taken.
_SPREAD = (math.sqrt(5) - 1) / 2

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class PlaceClass:
    """The distribution of a class's images. Lengths are fractions of the image's side.

    Attributes:
        objects: the kind of what stands there, one of _OBJECTS.
        amount: how many there are on average.
        extent: (width, height) of one on average.
        anywhere: they lie anywhere; else they stand on the line.
        line: height of the line, 0 (top) .. 1.
        hues: of the upper part, the lower part and the objects, turns of the colour circle.
        saturations, values: of the same three, [0, 1].
        waves: of the upper and the lower part: (cycles in the picture's side, angle in radians, strength).
        clouds: strength of the clouds, of both parts together.
    """

    objects: str
    amount: float
    extent: tuple[float, float]
    anywhere: bool
    line: float
    hues: tuple[float, ...]
    saturations: tuple[float, ...]
    values: tuple[float, ...]
    waves: tuple[tuple[float, float, float], ...]
    clouds: float


@lru_cache(maxsize=512)
def place_class(number: int) -> PlaceClass:
    """The class of this number, >= 0."""
    rng = np.random.default_rng([_CLASS_SEED, number])
    waves = []
    for _ in range(2):
        cycles = np.exp(rng.uniform(math.log(3), math.log(24)))
        waves.append((float(cycles), rng.uniform(0, math.pi), rng.uniform(0.0, 0.28)))
    first = number * _SPREAD  # neighbours are far apart
    return PlaceClass(
        objects=_OBJECTS[int((number * _SPREAD * _SPREAD % 1) * len(_OBJECTS))],
        amount=rng.uniform(2, 9),
        extent=(rng.uniform(0.06, 0.25), rng.uniform(0.1, 0.45)),
        anywhere=bool(rng.random() < 0.3),
        line=rng.uniform(0.3, 0.8),
        hues=(first % 1, (first + rng.uniform(0.2, 0.8)) % 1, rng.random()),
        saturations=tuple(rng.uniform(0.1, 0.75, 3)),
        values=tuple(rng.uniform(0.3, 0.95, 3)),
        waves=tuple(waves),
        clouds=rng.uniform(0.05, 0.35),
    )


def place_image(number: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """A new picture of a class of places, uint8 RGB ``(side, side, 3)``."""
    place = place_class(number)
    line = float(np.clip(place.line + rng.normal(0, 0.12), 0.1, 0.9))
    light, tint = rng.uniform(0.55, 1.2), rng.normal(0, 0.12)
    colours = [
        _rgb(hue + tint + rng.normal(0, 0.1), saturation * rng.uniform(0.3, 1.5), value * light * rng.uniform(0.7, 1.3))
        for hue, saturation, value in zip(place.hues, place.saturations, place.values, strict=True)
    ]
    image = Image.new("RGB", (side, side), colours[0])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, line * side, side, side), fill=colours[1])
    for _ in range(rng.poisson(place.amount)):
        kind = place.objects if rng.random() < _OWN_OBJECTS else _OBJECTS[rng.integers(len(_OBJECTS))]
        _draw_object(draw, kind, place, line, side, colours[2], rng)
    shade = _shade(place, line, side, rng)
    return np.clip(np.asarray(image) * shade[..., None], 0, 255).astype(np.uint8)


def _draw_object(
    draw: ImageDraw.ImageDraw,
    kind: str,
    place: PlaceClass,
    line: float,
    side: int,
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    """One object, somewhere, in a shade of the colour."""
    width, height = (side * extent * np.exp(rng.normal(0, 0.4)) for extent in place.extent)
    left = rng.uniform(-0.1, 1.0) * side
    foot = (rng.uniform(0.2, 1.1) if place.anywhere else line + rng.uniform(0.0, 0.12)) * side
    top, right, middle = foot - height, left + width, left + width / 2
    brightness = rng.uniform(0.55, 1.2)
    fill, dark = (tuple(min(255, int(value * share)) for value in colour) for share in (brightness, 0.5 * brightness))
    if kind == "boxes":
        draw.rectangle((left, top, right, foot), fill=fill)
    elif kind == "houses":
        draw.rectangle((left, top, right, foot), fill=fill)
        for row in np.arange(top + 0.1 * height, foot - 0.1 * height, max(0.25 * height, 4)).tolist():
            draw.rectangle((left + 0.2 * width, row, right - 0.2 * width, row + 0.1 * height), fill=dark)
    elif kind == "columns":
        draw.rectangle((left, 0, left + 0.4 * width, foot), fill=fill)
    elif kind == "mountains":
        draw.polygon([(left - width, foot), (middle, top), (right + width, foot)], fill=fill)
    elif kind == "trees":
        draw.rectangle((middle - 0.08 * width, foot - 0.5 * height, middle + 0.08 * width, foot), fill=dark)
        draw.ellipse((left, top, right, foot - 0.3 * height), fill=fill)
    elif kind == "discs":
        draw.ellipse((left, foot - width, right, foot), fill=fill)
    elif kind == "beams":
        draw.rectangle((left - width, foot - 0.2 * height, right + width, foot), fill=fill)
    else:
        draw.rectangle((left, top, right, foot), fill=fill)
        draw.ellipse((left + 0.2 * width, top + 0.2 * height, right - 0.2 * width, foot + 0.4 * height), fill=dark)


def _shade(place: PlaceClass, line: float, side: int, rng: np.random.Generator) -> np.ndarray:
    """Brightness of each pixel, around 1: waves and clouds, float32 ``(side, side)``."""
    across = np.linspace(0, 2 * math.pi, side, dtype=np.float32)
    shade = np.empty((side, side), np.float32)
    border = round(line * side)
    for part, (cycles, angle, strength) in zip((slice(0, border), slice(border, side)), place.waves, strict=True):
        cycles, angle = cycles * np.exp(rng.normal(0, 0.25)), angle + rng.normal(0, 0.4)
        x = (cycles * math.cos(angle)) * across
        y = (cycles * math.sin(angle)) * across[part] + rng.uniform(0, 2 * math.pi)
        # sin(x + y) without a sine for each pixel
        shade[part] = np.outer(np.sin(y), np.cos(x)) + np.outer(np.cos(y), np.sin(x))
        shade[part] *= strength * rng.uniform(0, 1.5)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8))
    clouds = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    shade += (clouds - 127.5) * np.float32(place.clouds / 127.5)
    shade += 1
    return shade


def face_image(side: int, rng: np.random.Generator) -> np.ndarray:
    """A new face before a plain background, uint8 RGB ``(side, side, 3)``."""
    fine = 2 * side
    skin = _rgb(rng.uniform(0.03, 0.1), rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.98))
    hair = _rgb(rng.uniform(0.02, 0.14), rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.75))
    shadow = tuple(int(0.7 * value) for value in skin)
    lips = _rgb(rng.uniform(-0.03, 0.03), rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.8))
    image = Image.new("RGB", (fine, fine), _rgb(rng.random(), rng.uniform(0.0, 0.4), rng.uniform(0.3, 0.9)))
    draw = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, width: float, height: float, fill: Colour | str | tuple[int, ...]) -> None:
        draw.ellipse([fine * edge for edge in (x - width, y - height, x + width, y + height)], fill=fill)

    x, y = 0.5 + rng.uniform(-0.03, 0.03), 0.53 + rng.uniform(-0.03, 0.03)
    width, height = rng.uniform(0.27, 0.34), rng.uniform(0.36, 0.43)
    ellipse(x, y - 0.08, width + 0.07, height + 0.02, hair)
    if rng.random() < 0.4:  # long hair
        draw.rectangle([fine * edge for edge in (x - width - 0.06, y, x + width + 0.06, 1)], fill=hair)
    draw.rectangle([fine * edge for edge in (x - 0.12, y + 0.2, x + 0.12, 1)], fill=shadow)
    ellipse(x, y, width, height, skin)
    ellipse(x, y - height, width * 0.95, rng.uniform(0.08, 0.2), hair)
    apart, eye_y, eye = rng.uniform(0.11, 0.15), y - rng.uniform(0.03, 0.09), rng.uniform(0.03, 0.05)
    for eye_x in (x - apart, x + apart):
        ellipse(eye_x, eye_y, 1.5 * eye, eye, "white")
        ellipse(eye_x, eye_y, 0.75 * eye, 0.9 * eye, _rgb(rng.random(), 0.5, 0.25))
        ellipse(eye_x, eye_y - 2.2 * eye, 1.8 * eye, 0.3 * eye, hair)
    ellipse(x, y + 0.07, 0.035, 0.06, shadow)
    ellipse(x, y + rng.uniform(0.19, 0.24), rng.uniform(0.07, 0.14), rng.uniform(0.015, 0.045), lips)
    small = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    """A colour; hue in turns, any number; saturation and value are clipped to [0, 1]."""
    saturation, value = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    channels = []
    for offset in (5, 3, 1):
        position = (offset + hue * 6) % 6
        channels.append(int(255 * value * (1 - saturation * min(max(min(position, 4 - position), 0), 1))))
    return (channels[0], channels[1], channels[2])
