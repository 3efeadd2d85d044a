"""Rendering of the page's templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from . import words


def render_template(template: str | Path, context: Mapping[str, Any]) -> bytes:
    """Render a page as UTF-8: the same context gives the same bytes, a name that it lacks is an error.

    Args:
        template: a file of a plugin, or the name of one of pvbias's own (``pvbias/report/templates``), which templates
            of plugins can include, too.
        context: what the template shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("pvbias.report"), jinja2.FunctionLoader(_read)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = words.counted
    page = environment.get_template(str(template)).render(context)
    return page.encode("utf-8", "replace")  # a file name in no encoding becomes "?"


def _read(path: str) -> tuple[str, str, Callable[[], bool]] | None:
    """A template by its absolute path: content, path, whether it is still the same."""
    file = Path(path)
    return (file.read_text(encoding="utf-8"), path, lambda: True) if file.is_absolute() and file.is_file() else None
