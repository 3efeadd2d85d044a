"""Time limits as Slurm writes them."""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:(?P<days>\d+)-(?=\d))?(?P<rest>\d+(?::\d\d){0,2})")


def minutes(text: str) -> int:
    """A time limit in minutes, seconds rounded up: ``90``, ``HH:MM:SS``, ``D-HH``, ``D-HH:MM`` or ``D-HH:MM:SS``.

    Slurm's ``MM:SS`` is not among them: who writes 12:00 means hours.

    Raises:
        ValueError: it is none of these.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    parts = [int(part) for part in found["rest"].split(":")]
    if found["days"] is None:
        if len(parts) == 1:
            return parts[0]
        if len(parts) == 2:
            raise ValueError(text)
    hours, minute, second = (*parts, 0, 0)[:3]
    if minute > 59 or second > 59:
        raise ValueError(text)
    return (int(found["days"] or 0) * 24 + hours) * 60 + minute + (second > 0)
