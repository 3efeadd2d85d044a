"""Stroke data of the digits: where the pen starts and the directions in which it goes (temporality study, Appendix D).

The paper leaves anchors and principal directions open; these are ours. A digit that people write in several ways has
several forms, and the one that fits an image best is taken. No digit is written the same way backwards.
"""

from __future__ import annotations

from typing import NamedTuple

Vector = tuple[float, float]


class Stroke(NamedTuple):
    """One stroke of the pen.

    Attributes:
        anchor: (x, y) where it is set down, in the unit square around the digit, x to the right and y downwards.
        directions: the principal directions, in order; each as long as the way that the pen goes along it.
    """

    anchor: Vector
    directions: tuple[Vector, ...]


#: The strokes of a way to write a digit, in order.
Form = tuple[Stroke, ...]

# fmt: off
#: The forms of each digit.
FORMS: dict[int, tuple[Form, ...]] = {
    0: (
        # Counterclockwise from the top and closed.
        (Stroke((0.55, 0), ((-0.25, 0.05), (-0.2, 0.2), (-0.1, 0.3), (0.1, 0.3), (0.3, 0.15), (0.3, -0.07),
                 (0.23, -0.23), (0.07, -0.3), (-0.1, -0.28), (-0.35, -0.12))),),
    ),
    1: (
        # Down.
        (Stroke((0.5, 0), ((0, 1),)),),
        # Up the flag, down.
        (Stroke((0, 0.25), ((0.6, -0.25), (0, 1))),),
        # Up the flag, down; the foot from left to right.
        (Stroke((0, 0.2), ((0.5, -0.2), (0, 1))),
         Stroke((0, 1), ((1, 0),))),
        # Down; the foot from left to right.
        (Stroke((0.5, 0), ((0, 1),)),
         Stroke((0, 1), ((1, 0),))),
    ),
    2: (
        # Over the arc to the bottom left, then to the right.
        (Stroke((0, 0.22), ((0.2, -0.17), (0.3, -0.05), (0.3, 0.1), (0.05, 0.2), (-0.25, 0.3), (-0.6, 0.4), (1, 0))),),
        # With a small loop at the bottom left: clockwise.
        (Stroke((0, 0.22), ((0.2, -0.17), (0.3, -0.05), (0.3, 0.1), (0.05, 0.2), (-0.2, 0.35), (-0.35, 0.3),
                 (-0.25, 0.05), (-0.05, -0.15), (0.2, -0.1), (0.3, 0.1), (0.5, 0.1))),),
        # With a large loop.
        (Stroke((0, 0.22), ((0.2, -0.17), (0.3, -0.05), (0.3, 0.1), (0.05, 0.2), (-0.05, 0.25), (-0.2, 0.25),
                 (-0.3, 0.18), (-0.25, -0.03), (-0.05, -0.17), (0.2, -0.16), (0.25, 0.03), (0.25, 0.17),
                 (0.3, 0.13))),),
    ),
    3: (
        # The upper arc from the left, in to the middle, the lower arc out to the bottom left.
        (Stroke((0, 0.1), ((0.3, -0.1), (0.4, 0), (0.2, 0.15), (-0.1, 0.2), (-0.4, 0.12), (0.4, 0.08), (0.2, 0.2),
                 (-0.2, 0.2), (-0.4, 0.05), (-0.4, -0.1))),),
    ),
    4: (
        # Open at the top: down the left and across to the right; then the right stroke down.
        (Stroke((0.1, 0), ((-0.05, 0.3), (-0.05, 0.25), (0.3, 0.03), (0.7, -0.08))),
         Stroke((0.8, 0), ((-0.05, 0.5), (-0.05, 0.5)))),
        # Closed at the top: both strokes begin there.
        (Stroke((0.7, 0), ((-0.4, 0.3), (-0.3, 0.3), (0.4, 0.05), (0.6, -0.05))),
         Stroke((0.7, 0), ((0, 0.5), (0, 0.5)))),
        # Open, with a short right stroke.
        (Stroke((0.5, 0), ((-0.3, 0.3), (-0.2, 0.3), (0.3, 0.05), (0.6, -0.05))),
         Stroke((0.9, 0.25), ((-0.2, 0.35), (-0.15, 0.4)))),
    ),
    5: (
        # In one go, as an S is: the bar from right to left, down, around the belly to the bottom left.
        (Stroke((1, 0), ((-0.4, 0.02), (-0.35, 0.03), (-0.05, 0.35), (0.3, -0.02), (0.35, 0.12), (0.05, 0.2),
                 (-0.15, 0.22), (-0.35, 0.08), (-0.4, -0.1))),),
    ),
    6: (
        # Down from the top right, counterclockwise around the loop into the stem.
        (Stroke((0.7, 0), ((-0.4, 0.25), (-0.25, 0.35), (0, 0.25), (0.25, 0.15), (0.4, -0.03), (0.3, -0.17),
                 (-0.05, -0.2), (-0.35, -0.1), (-0.35, 0.15), (-0.2, 0.2))),),
    ),
    7: (
        # To the right, down.
        (Stroke((0, 0.08), ((0.5, -0.05), (0.5, -0.03), (-0.3, 0.5), (-0.25, 0.5))),),
        # The same, beginning with the serif: up.
        (Stroke((0, 0.25), ((0.03, -0.2), (0.47, -0.02), (0.5, -0.03), (-0.3, 0.5), (-0.25, 0.5))),),
        # To the right, down; the bar through the middle from left to right.
        (Stroke((0, 0.08), ((0.5, -0.05), (0.4, -0.03), (-0.2, 0.5), (-0.25, 0.5))),
         Stroke((0.25, 0.5), ((0.75, 0),))),
    ),
    8: (
        # From the top right as an S is, and back up across it, closed.
        (Stroke((0.9, 0.12), ((-0.4, -0.12), (-0.35, 0.1), (0, 0.2), (0.35, 0.18), (0.35, 0.17), (0.05, 0.2),
                 (-0.4, 0.15), (-0.4, -0.12), (0.02, -0.2), (0.38, -0.2), (0.35, -0.18), (0.05, -0.18))),),
    ),
    9: (
        # Counterclockwise around the loop from the top right, then down.
        (Stroke((0.9, 0.12), ((-0.4, -0.12), (-0.4, 0.12), (-0.1, 0.23), (0.3, 0.15), (0.4, -0.08), (0.2, -0.27),
                 (-0.05, 0.35), (-0.15, 0.5))),),
        # The same, the tail curling to the bottom left.
        (Stroke((0.9, 0.12), ((-0.4, -0.12), (-0.4, 0.12), (-0.05, 0.23), (0.25, 0.15), (0.4, -0.08), (0.2, -0.27),
                 (0.05, 0.35), (-0.1, 0.38), (-0.35, 0.12), (-0.5, -0.1))),),
    ),
}
# fmt: on

#: Holes of the digits that always have them.
HOLES = {0: 1, 6: 1, 8: 2, 9: 1}
