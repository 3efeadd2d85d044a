"""Formatting of numbers, intervals and counts for readers."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Units that go without saying: of log ratios, and of shares between 0 and 1.
UNWRITTEN = ("", "log ratio", "of 1")
#: Nats, and log ratios: nearer to 0 than this is 0, since what two orders of the same sums differ by may be as large.
RESOLUTION = 0.001


def counted(number: int, thing: str) -> str:
    """A number with its noun: "1 video", "2,000 videos", "1 class", "3 classes"."""
    return f"{number:,} {thing if number == 1 else plural(thing)}"


def plural(thing: str) -> str:
    """ "videos", "classes", "accuracies"."""
    if thing.endswith("y"):
        return f"{thing[:-1]}ies"
    return thing + ("es" if thing.endswith("s") else "s")


def interval(ends: Sequence[float] | None, unit: str, *, signed: bool = False) -> str:
    """The ends of an interval in brackets; empty where there is none."""
    return "[" + ", ".join(number(end, unit, signed=signed) for end in ends) + "]" if ends else ""


def number(value: float | None, unit: str, *, signed: bool = False) -> str:
    """Format a value: with a real minus sign, and more decimals when it would look like zero."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit in ("nats", "log ratio") and abs(value) < RESOLUTION:
        return "0"
    sign = "+" if signed and value else ""
    places = {"%": 1, "points": 1, "log ratio": 2, "nats": 3 if abs(value) < 1 else 2}.get(unit)
    if places is None or (value and abs(value) < 0.5 * 10**-places):
        text = f"{value:{sign}.3g}"
    else:
        text = f"{value:{sign}.{places}f}"
    return text.replace("-", "−")
