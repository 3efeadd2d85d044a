"""Small pictures for the glossary, as inline SVG: clips as strips of frames, shares as bars, values on a line."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

#: Colours of places, of which a frame's background is one.
_PLACES = ("#ffffff", "#cfe3f1", "#f6d9c6", "#d3eadf")
_INK, _MUTED, _FILL, _HIDDEN = "#1f2933", "#667482", "#0072B2", "#9aa5b1"
#: Of a letter of the text, at most.
_LETTER = 5.2
_WIDTH, _ROW, _FRAME, _STRIP, _BAR = 240, 34, (20, 15), 132, 84


@dataclass(frozen=True)
class Row:
    """A clip, and what is made of it.

    Attributes:
        says: a few words above it.
        frames: what each shows, numbers from 0: something moves from left to right; None: hidden. Up to 6.
        share: length of the bar beside it, in [0, 1]; None: no bar.
        places: of each frame, an index of its background's colour; one for all.
    """

    says: str
    frames: Sequence[int | None] = ()
    share: float | None = None
    places: Sequence[int] = (0,)


@dataclass(frozen=True)
class Range:
    """A part of a line, or a point of it where both ends are the same, in [0, 1], with a few words."""

    says: str
    low: float
    high: float


def clips(*rows: Row) -> str:
    """Draw clips below one another, each with its bar."""
    parts = []
    last = max((frame for row in rows for frame in row.frames if frame is not None), default=1) or 1
    for number, row in enumerate(rows):
        top = number * _ROW
        parts.append(_text(0, top + 10, row.says))
        for place, frame in enumerate(row.frames):
            x = place * (_FRAME[0] + 2)
            color = _HIDDEN if frame is None else _PLACES[row.places[place % len(row.places)]]
            parts.append(
                f'<rect x="{x}.5" y="{top + 14}.5" width="{_FRAME[0]}" height="{_FRAME[1]}" fill="{color}" '
                f'stroke="{_MUTED}" stroke-width="0.8"/>'
            )
            if frame is not None:
                center = x + 4 + (_FRAME[0] - 7) * frame / last
                parts.append(f'<circle cx="{center:.1f}" cy="{top + 22}" r="3" fill="{_INK}"/>')
        if row.share is not None:
            x = _STRIP + 12
            parts.append(f'<rect x="{x}" y="{top + 17}" width="{_BAR}" height="9" fill="#e3e8ed"/>')
            parts.append(f'<rect x="{x}" y="{top + 17}" width="{_BAR * row.share:.1f}" height="9" fill="{_FILL}"/>')
    return _svg(len(rows) * _ROW, "; ".join(row.says for row in rows), parts)


def line(left: str, right: str, *spans: Range) -> str:
    """Draw a line between two ends, named, and spans above it."""
    base = 20 * len(spans) + 12
    parts = [f'<path d="M0 {base}H{_WIDTH}" stroke="{_MUTED}" fill="none"/>']
    for number, span in enumerate(spans):
        y = 14 + 20 * number
        low, high = (2 + (_WIDTH - 4) * end for end in (span.low, span.high))
        if span.low == span.high:
            parts.append(f'<circle cx="{low:.1f}" cy="{y}" r="3.5" fill="{_FILL}"/>')
        else:
            parts.append(f'<rect x="{low:.1f}" y="{y - 4}" width="{high - low:.1f}" height="8" fill="{_FILL}"/>')
        long = _LETTER * len(span.says) + 8
        if high + long <= _WIDTH:
            parts.append(_text(high + 6, y + 3, span.says))
        elif low >= long:
            parts.append(_text(low - 6, y + 3, span.says, "end"))
        else:  # across it
            parts.append(_text((low + high) / 2, y - 6, span.says, "middle"))
    parts += [_text(0, base + 13, left), _text(_WIDTH, base + 13, right, "end")]
    said = "; ".join(span.says for span in spans)
    return _svg(base + 18, f"a line from {left} to {right}: {said}", parts)


def _text(x: float, y: float, says: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="9.5" fill="{_MUTED}" text-anchor="{anchor}">{html.escape(says)}</text>'
    )


def _svg(height: int, alt: str, parts: Sequence[str]) -> str:
    head = f'<svg class="sketch" role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {_WIDTH} {height}"'
    return f'{head} width="{_WIDTH}" height="{height}">{"".join(parts)}</svg>'


#: Of the terms that every page explains.
PAGE = {
    "levels": clips(
        Row("a video's first clip", (0, 1, 2, 3, 4, 5), 0.9),
        Row("its second clip", (5, 4, 3, 2, 1, 0), 0.3),
        Row("video level: their mean", (), 0.6),
    ),
    "brackets": line("low", "high", Range("these videos", 0.45, 0.45), Range("others, 95 %", 0.3, 0.62)),
    "none": line("0", "larger", Range("none", 0.0, 0.03), Range("a value", 0.5, 0.5)),
    "guessing": clips(Row("each of four classes, at random", (), 0.25), Row("the model, no better", (), 0.27)),
}
